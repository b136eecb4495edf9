"""A chip under a site's settings: the noise and the errors that both together make."""

from __future__ import annotations

import math

from imctrain.calibration.schema.noise import NoiseParts, drawn_anew
from imctrain.settings.chip import ChipSpec
from imctrain.settings.site import SiteSettings


class ChipInUse(SiteSettings):
    """Settings, and the chip that they hold for."""

    chip: ChipSpec = ChipSpec()
    """The chip's figures; a nominal one without noise by default."""

    @property
    def parts_lsb(self) -> tuple[float, float]:
        """Noise (before the range, of the converter) in LSB at R = 1, `noise.sigma_lsb` included, `scale` not."""
        noise, chip = self.noise, self.chip
        array = chip.sigma_array_lsb if noise.sigma_array_lsb is None else noise.sigma_array_lsb
        adc = chip.sigma_adc_lsb if noise.sigma_adc_lsb is None else noise.sigma_adc_lsb
        if noise.sigma_lsb is None:
            return array, adc
        total = math.hypot(array, adc)
        # Without noise to split, all of it is put before the range: it then does not shrink with a smaller R.
        share = (array / total, adc / total) if total > 0 else (1.0, 0.0)
        return noise.sigma_lsb * share[0], noise.sigma_lsb * share[1]

    @property
    def shared_lsb(self) -> tuple[float, float]:
        """The parts of the total that conversions share (slow, common) in LSB at R = 1, `noise.scale` not included.

        The chip's keep their share of the total where that is replaced.
        """
        noise, chip = self.noise, self.chip
        chips = math.hypot(chip.sigma_array_lsb, chip.sigma_adc_lsb)
        share = math.hypot(*self.parts_lsb) / chips if chips > 0 else 0.0
        slow = share * chip.sigma_slow_lsb if noise.sigma_slow_lsb is None else noise.sigma_slow_lsb
        common = share * chip.sigma_common_lsb if noise.sigma_common_lsb is None else noise.sigma_common_lsb
        return slow, common

    @property
    def total_lsb(self) -> float:
        """Total noise before rounding in LSB at R = 1 of the calibrated converter, `noise.scale` included."""
        return self.noise.scale * math.hypot(*self.parts_lsb)

    @property
    def sigma_array(self) -> float:
        """Array noise that every conversion draws anew as a fraction of full scale, `noise.scale` included."""
        return self.noise.scale * self._fresh_lsb.array * self.chip.reference_lsb

    @property
    def sigma_adc(self) -> float:
        """Converter noise that every conversion draws anew in LSB of whatever converter is used, `noise.scale`
        included."""
        return self.noise.scale * self._fresh_lsb.adc

    @property
    def sigma_slow(self) -> float:
        """Noise that a column keeps through an MVM and its repeats, a fraction of full scale, `noise.scale`
        included."""
        return self.noise.scale * self.shared_lsb[0] * self.chip.reference_lsb

    @property
    def sigma_common(self) -> float:
        """Noise that all columns of a pass share, a fraction of full scale, `noise.scale` included."""
        return self.noise.scale * self.shared_lsb[1] * self.chip.reference_lsb

    @property
    def _fresh_lsb(self) -> NoiseParts:
        return drawn_anew(*self.parts_lsb, *self.shared_lsb)

    @property
    def has_noise(self) -> bool:
        return self.total_lsb > 0

    @property
    def has_slow_noise(self) -> bool:
        return self.sigma_slow > 0

    @property
    def has_common_noise(self) -> bool:
        return self.sigma_common > 0

    @property
    def has_column_noise(self) -> bool:
        """Whether columns differ in their noise."""
        return self.has_noise and self.noise.mismatch and self.chip.has_column_noise

    @property
    def has_mismatch(self) -> bool:
        """Whether the gain or the offset of any column is not nominal."""
        return self.noise.mismatch and self.chip.has_mismatch

    @property
    def has_dead_columns(self) -> bool:
        """Whether columns may not follow their input."""
        return self.noise.mismatch and self.chip.dead_share > 0

    @property
    def has_inl(self) -> bool:
        return self.noise.mismatch and self.chip.has_inl

    @property
    def has_dnl(self) -> bool:
        """Whether codes of the converter differ in their width."""
        return self.noise.mismatch and self.noise.dnl and self.chip.has_dnl

    @property
    def has_curves(self) -> bool:
        """Whether single columns deviate from the INL."""
        return self.noise.mismatch and self.chip.inl_column_rms_lsb > 0
