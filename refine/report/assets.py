"""What every report has in common: style sheet, script, and the explanations under "How to read this"."""

from __future__ import annotations

STYLE = """
:root { --ink: #1b1f24; --quiet: #5a6572; --line: #dfe4ea; --soft: #f5f7f9; --final: #d9480f; --initial: #6f8fb3;
  --warn: #8a5300; --warn-soft: #fff6e3; --warn-line: #e9b44c; --good: #1f6b3a; --good-soft: #e8f5ec;
  color-scheme: light; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0 auto; padding: 0 28px 72px; max-width: 1160px; background: #fff; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  overflow-wrap: anywhere; }
header { padding: 40px 0 8px; }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.25; font-weight: 650; letter-spacing: -.01em; }
h2 { margin: 52px 0 6px; padding-top: 14px; border-top: 1px solid var(--line); font-size: 1.25rem; font-weight: 650; }
h3 { margin: 26px 0 2px; font-size: 1rem; font-weight: 650; }
h4 { margin: 8px 0 0; font-size: .95rem; font-weight: 600; }
p { margin: 6px 0 12px; max-width: 100ch; }
a { color: #1c5f93; }
sub { line-height: 0; }
.about, .caption, .note { color: var(--quiet); font-size: .9rem; }
.about { margin: 4px 0 0; }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 16px 0 0; font-size: .9rem; }
nav a { text-decoration: none; }
nav a:hover { text-decoration: underline; }
.result { margin: 24px 0 0; padding: 20px 24px; border-left: 5px solid var(--good);
  background: var(--good-soft); border-radius: 4px; }
.result.open { border-color: var(--warn-line); background: var(--warn-soft); }
.result p { margin: 0 0 6px; }
.result p:last-child { margin: 0; }
.result .lead { font-size: 1.3rem; line-height: 1.4; font-weight: 600; }
.warnings { margin: 16px 0 0; padding: 14px 24px; border: 1px solid var(--warn-line); border-left-width: 5px;
  background: var(--warn-soft); border-radius: 4px; }
.warnings h2 { margin: 0 0 4px; padding: 0; border: 0; font-size: 1rem; color: var(--warn); }
.warnings ul { margin: 0; padding-left: 20px; }
.key { display: flex; flex-wrap: wrap; gap: 2px 22px; margin: 4px 0 8px; padding: 0; list-style: none;
  font-size: .9rem; color: var(--quiet); }
.key li { display: flex; align-items: center; gap: 8px; }
.key i { width: 26px; height: 0; border-top: 2.5px solid var(--final); }
.key i.initial { border-top: 2.5px dashed var(--initial); }
.key i.band { height: 12px; border: 0; background: rgba(217,72,15,.2); }
.key i.unsampled { height: 12px; border: 0; background: rgba(120,130,140,.16); }
figure { margin: 18px 0 26px; }
figcaption h3, figcaption h4 { margin: 0; }
.caption { margin: 0 0 2px; }
.grid { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 4px 28px; }
.grid.single { grid-template-columns: minmax(0, 1fr); }
.grid figure { margin: 8px 0; min-width: 0; }
.plot { width: 100%; }
.undrawn { display: none; }
body.without-figures .plot { display: none; }
body.without-figures .undrawn { display: block; }
.scroll { overflow-x: auto; margin: 12px 0; }
table { border-collapse: collapse; width: 100%; margin: 26px 0 10px; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: 7px 12px 7px 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
thead th { color: var(--quiet); font-weight: 600; vertical-align: bottom; overflow-wrap: normal; }
td.n, th.n { text-align: right; white-space: nowrap; overflow-wrap: normal; }
thead th.n { white-space: normal; }
th:last-child, td:last-child { padding-right: 4px; }
td.w { white-space: nowrap; }
tbody th { font-weight: 600; }
.after { color: #b23a08; font-weight: 650; }
tr.rejected td, tr.rejected th { color: var(--quiet); background: var(--soft); font-weight: 400; }
.steps { min-width: 1000px; margin: 0; }
.steps td { white-space: nowrap; }
.steps th:first-child, .steps td:first-child { padding-left: 8px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 16px;
  margin: 14px 0; }
.card { padding: 14px 18px; border: 1px solid var(--line); border-radius: 6px; min-width: 0; }
.card h3 { margin: 0 0 6px; }
dl { display: grid; grid-template-columns: minmax(7.5em, auto) minmax(0, 1fr); gap: 3px 16px; margin: 0;
  font-size: .92rem; }
dt { color: var(--quiet); }
dd { margin: 0; }
pre { margin: 10px 0; padding: 16px 18px; overflow-x: auto; background: var(--soft); border-radius: 6px;
  font: .85rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; overflow-wrap: normal; }
@media (max-width: 760px) {
  body { padding: 0 14px 48px; font-size: 15px; }
  header { padding-top: 22px; }
  h1 { font-size: 1.35rem; }
  h2 { margin-top: 36px; }
  .result, .warnings { padding: 14px 16px; }
  .result .lead { font-size: 1.12rem; }
  .grid, #reading dl { grid-template-columns: minmax(0, 1fr); }
  #reading dd { margin-bottom: 8px; }
  .scores thead { display: none; }
  .scores tr { display: block; padding: 8px 0; border-bottom: 1px solid var(--line); }
  .scores th, .scores td { display: flex; justify-content: space-between; gap: 18px; padding: 1px 0; border: 0;
    text-align: right; }
  .scores tbody th { text-align: left; }
  .scores td::before { content: attr(data-label); color: var(--quiet); text-align: left; white-space: normal; }
}
@media print { nav { display: none; } figure, .card { break-inside: avoid; } }
"""

# Plotly travels compressed (2 MB instead of 5) and is unpacked by the browser itself; nothing is fetched. Its buttons
# are listed one by one: the set that it shows by default may hold one that uploads the figure to a service.
SCRIPT = """
"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const narrow = matchMedia("(max-width: 760px)");

async function unpackPlotly() {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function fitted(layout) {
  if (!narrow.matches) return layout;
  const margin = { ...layout.margin, l: 48, r: 6 };
  return { ...layout, margin, dragmode: false, font: { ...layout.font, size: 11 } };
}

async function draw() {
  for (const { id, data, layout } of figures) {
    const config = {
      responsive: true, displaylogo: false, displayModeBar: narrow.matches ? false : "hover",
      modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
      toImageButtonOptions: { format: "svg", filename: id },
    };
    await Plotly.react(document.getElementById(id), data, fitted(layout), config);
  }
  document.body.dataset.drawn = figures.length;
}

async function main() {
  try {
    await unpackPlotly();
    await draw();
    narrow.addEventListener("change", draw);
  } catch (error) {
    document.body.classList.add("without-figures");
    throw error;
  }
}
main();
"""

READING = """
<dl>
<dt>R<sub>χ</sub></dt><dd>[Σ (T<sub>exp</sub> − T<sub>model</sub>)² / Σ T<sub>exp</sub>²]<sup>½</sup> of the total
correlation function T(r) over the range given above. The model passes through the Q range and window of the
experiment, the experiment through the finite range and the periodic images of the box, so that both have the same
truncation. The curves drawn are those; curves/*.csv hold the model and the measurement without them, too.</dd>
<dt>χ² per point</dt><dd>mean squared difference in units of σ, the error that the file or the study states or that was
estimated before the fit. What the finite number of frames adds to it on average is taken off, so that samples of any
length can be compared; with few frames it may come out below zero. Near 1 the curve is reproduced to its noise; far
above 1 with a small R<sub>χ</sub>, σ may be too small or the data carry a systematic error.</dd>
<dt>σ too small by</dt><dd>where no errors are stated, the factor on the estimated σ that makes what is left of the
misfit plausible. The fit weighs the curve with it; χ² is in units of σ without it, so χ² per point near the square of
this factor is what the fit takes for noise.</dd>
<dt>φ(r)</dt><dd>the correction to the pair energy. Its band is the posterior standard error: measured noise,
sampling noise and the smoothness prior. Where the band is as wide as φ itself, the data say little. On grey ground
no pair was seen and φ only continues.</dd>
<dt>gain</dt><dd>actual over predicted decrease of χ²; near 1 the linear model of a step was right. A step that made
things worse is rejected: the potential and the configuration go back.</dd>
<dt>effective sample</dt><dd>frames, of all samples, that the averages of an update rest on, unequal weights counted.
It is shown as information; the length of a step is steered by the gain.</dd>
</dl>
"""
