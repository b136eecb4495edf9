"""From the matmuls found in a program to sites: names, then rules, then simulated sites."""

from __future__ import annotations

from collections.abc import Sequence

from imctrain.errors import UserError
from imctrain.imc.site.site import make_site
from imctrain.imc.site.spec import SiteSpec
from imctrain.intercept.naming import Whereabouts, site_names
from imctrain.intercept.plan import Found
from imctrain.intercept.rules import FLOAT, Rule, check_all_match, hardware_of
from imctrain.settings import Hardware


def resolve(found: Sequence[Found], hardware: Hardware, rules: Sequence[Rule]) -> None:
    """Fill in name, path and site of every matmul of a program, in program order.

    A site's index is its place among all of them, float ones included, so that a rule that leaves one site digital
    moves no other site's noise or columns.

    Raises UserError for a rule that matches no site, and, naming the site, for a matmul that no rule leaves digital
    and that has no array mapping.
    """
    operations = [f.operation for f in found]
    names = site_names([Whereabouts(o.scope, o.kind, o.weight, o.module) for o in operations])
    check_all_match(rules, names)
    for index, (item, (name, former)) in enumerate(zip(found, names, strict=True)):
        item.name, item.former_name = name, former
        chosen = hardware_of(name, hardware, rules, former)
        if chosen is None:
            item.path = FLOAT
            continue
        operation = item.operation
        if operation.op is None:
            raise UserError(f"site {name}: {operation.obstacle}; leave it digital with Rule({name!r}, path='float')")
        item.path = chosen.path
        item.site = make_site(
            SiteSpec(
                name=name,
                index=index,
                op=operation.op,
                lhs_shape=operation.lhs_shape,
                rhs_shape=operation.rhs_shape,
                dtype=operation.dtype,
                lhs=operation.lhs,
                rhs=operation.rhs,
                hardware=chosen,
            )
        )
