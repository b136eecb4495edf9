// Opens, sorts and filters the table of runs, and draws the curves of a run when it is opened.
"use strict";
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];
const body = document.querySelector("#index > tbody");
const pairs = [...document.querySelectorAll("#index tr.run")].map(row => ({ row, more: row.nextElementSibling, text: row.textContent.toLowerCase() }));

function toggle(row, open) {
  const more = row.nextElementSibling;
  more.hidden = open === undefined ? !more.hidden : !open;
  row.querySelector("button").setAttribute("aria-expanded", String(!more.hidden));
  if (!more.hidden) draw(more);
}

function value(row, key) {
  const found = key in row.dataset ? row.dataset[key] : JSON.parse(row.dataset.keys)[key] ?? JSON.parse(body.dataset.usual)[key];
  if (found === undefined || found === "") return null;
  const number = Number(found);
  return Number.isNaN(number) ? String(found) : number;
}

function sort(key, direction) {
  const compare = (a, b) => {
    const x = value(a.row, key), y = value(b.row, key);
    if (x === null || y === null) return (x === null) - (y === null);
    if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
    return direction * (typeof x === "number" ? x - y : x.localeCompare(y, undefined, { numeric: true }));
  };
  for (const { row, more } of [...pairs].sort(compare)) body.append(row, more);
  for (const button of document.querySelectorAll("#index th button")) {
    if (button.dataset.sort === key) button.dataset.dir = direction; else delete button.dataset.dir;
  }
  document.querySelector("#sort").value = key;
}

function filter() {
  const words = document.querySelector("#filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const status = document.querySelector("#status").value;
  let shown = 0;
  for (const { row, more, text } of pairs) {
    const fits = words.every(word => text.includes(word)) && (!status || row.dataset.status === status);
    row.hidden = !fits;
    if (!fits) more.hidden = true;
    shown += fits;
  }
  document.querySelector("#shown").textContent = shown === pairs.length ? "" : `${shown} of ${pairs.length} runs shown`;
}

function ticks(low, high, log) {
  if (log) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const factor of Math.log10(high / low) > 2 ? [1] : [1, 2, 5]) found.push(factor * 10 ** power);
    }
    return found.filter(tick => tick >= low * 0.999 && tick <= high * 1.001);
  }
  const raw = (high - low) / 4, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find(factor => factor * power >= raw);
  const found = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-6; tick += step) found.push(Number(tick.toPrecision(12)));
  return found;
}

// A chart of lines: series of {name, colour, x, y, dash}. The legend stands above it, never on the data.
function chart(into, title, xlabel, series, log) {
  const used = series.filter(one => one.y.some(y => y !== null && (!log || y > 0)));
  if (!used.length) return;
  const xs = used.flatMap(one => one.x), ys = used.flatMap(one => one.y).filter(y => y !== null && (!log || y > 0));
  let [x0, x1] = [Math.min(...xs), Math.max(...xs)], [y0, y1] = [Math.min(...ys), Math.max(...ys)];
  if (x0 === x1) { x0 -= 0.5; x1 += 0.5; }
  if (y0 === y1) { y0 = log ? y0 / 2 : y0 - 0.5; y1 = log ? y1 * 2 : y1 + 0.5; }
  const [w, h, left, right, top, bottom] = [340, 200, 44, 8, 6, 34];
  const scale = log ? Math.log : y => y;
  const px = x => left + (w - left - right) * (x - x0) / (x1 - x0);
  const py = y => h - bottom - (h - top - bottom) * (scale(y) - scale(y0)) / (scale(y1) - scale(y0));
  const text = (x, y, anchor, words) => `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="10.5" fill="#444">${words}</text>`;
  let inside = "";
  for (const y of ticks(y0, y1, log)) inside += `<path d="M${left} ${py(y)}H${w - right}" stroke="#e4e4e4"/>` + text(left - 5, py(y) + 3.5, "end", Number(y.toPrecision(3)));
  for (const x of ticks(x0, x1, false)) if (Number.isInteger(x)) inside += `<path d="M${px(x)} ${h - bottom}v4" stroke="#888"/>` + text(px(x), h - bottom + 15, "middle", x);
  inside += `<path d="M${left} ${top}V${h - bottom}H${w - right}" fill="none" stroke="#888"/>` + text((left + w - right) / 2, h - 4, "middle", xlabel);
  for (const { x, y, colour, dash } of used) {
    let path = "", pen = "M", count = 0;
    y.forEach((value, i) => {
      if (value === null || (log && value <= 0)) { pen = "M"; return; }
      path += `${pen}${px(x[i]).toFixed(1)} ${py(value).toFixed(1)}`; pen = "L"; count++;
    });
    if (count === 1) path += "h0.1";
    inside += `<path d="${path}" fill="none" stroke="${colour}" stroke-width="${count === 1 ? 4 : 1.6}" stroke-linecap="round" stroke-linejoin="round"${dash ? ' stroke-dasharray="1 3"' : ""}/>`;
  }
  const figure = document.createElement("figure");
  figure.innerHTML = `<figcaption><b>${title}</b></figcaption><p class="legend"></p><svg viewBox="0 0 ${w} ${h}" role="img" aria-label="${title}">${inside}</svg>`;
  const legend = figure.querySelector(".legend");
  for (const { name, colour } of used) {
    const line = document.createElement("i");
    line.style.background = colour;
    legend.append(line, name);
  }
  into.append(figure);
}

function draw(more) {
  const data = more.querySelector("script");
  if (!data) return;
  const into = more.querySelector(".plots"), curves = JSON.parse(data.textContent);
  data.remove();
  const trainings = [[curves.run, "this run", COLOURS[0]]];
  if (curves.baseline) trainings.push([curves.baseline, "float baseline", COLOURS[1]]);
  const middle = epochs => epochs.map(epoch => epoch - 0.5);
  chart(into, "training loss", "epoch", trainings.map(([one, name, colour]) => ({ name, colour, x: middle(one.epochs), y: one.loss })), true);
  chart(into, "accuracy (%)", "epoch", trainings.flatMap(([one, name, colour]) => [
    { name: `${name}, ${into.dataset.measured} images`, colour, x: one.epochs, y: one.evaluated },
    { name: `${name}, training images (dotted)`, colour, x: middle(one.epochs), y: one.accuracy, dash: true },
  ]), false);
  for (const [kind, what, log] of [["snr", "SNR (dB)", false], ["clipped", "clipped fraction", true]]) {
    for (const mvm of Object.keys(curves[kind])) {
      const sites = Object.keys(curves[kind][mvm]);
      const colour = i => sites.length <= COLOURS.length ? COLOURS[i] : `hsl(${270 - 230 * i / (sites.length - 1)} 75% 42%)`;
      chart(into, `${what}, ${mvm.replace("input_grad", "input gradient").replace("weight_grad", "weight gradient")}`, "step",
        sites.map((site, i) => ({ name: site, colour: colour(i), x: curves.steps, y: curves[kind][mvm][site] })), log);
    }
  }
}

function show_target() {
  const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (row && row.matches("tr.run")) { row.hidden = false; toggle(row, true); row.scrollIntoView(); }
}

for (const { row } of pairs) row.querySelector("button").addEventListener("click", () => toggle(row));
for (const button of document.querySelectorAll("#index th button")) {
  button.addEventListener("click", () => sort(button.dataset.sort, -(button.dataset.dir ?? button.dataset.first ?? -1)));
}
document.querySelector("#sort").addEventListener("change", event => sort(event.target.value, event.target.selectedOptions[0].dataset.first === "1" ? -1 : 1));
document.querySelector("#filter").addEventListener("input", filter);
document.querySelector("#status").addEventListener("change", filter);
addEventListener("hashchange", show_target);
show_target();
