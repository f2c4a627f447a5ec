"""How a page looks: one style sheet, light and dark, from a phone's width to a desk's."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink:#1d2127; --soft:#626a75; --paper:#fff; --card:#f5f6f8;
  --rule:#dfe3e8; --link:#2563c9; --warn:#9a4b00; --warn-paper:#fff4e5; }
@media (prefers-color-scheme: dark) { :root { --ink:#e4e7eb; --soft:#98a1ac; --paper:#121417;
  --card:#1b1e23; --rule:#2e333a; --link:#79b0ff; --warn:#ffc078; --warn-paper:#2c2113; } }
* { box-sizing:border-box }
html { -webkit-text-size-adjust:100% }
body { margin:0; background:var(--paper); color:var(--ink);
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif }
main { max-width:1080px; margin:0 auto; padding:28px 20px 64px }
header { margin-bottom:20px }
h1 { font-size:1.7rem; line-height:1.2; margin:0; overflow-wrap:anywhere }
h2 { font-size:1.2rem; margin:44px 0 12px; padding-bottom:6px; border-bottom:1px solid var(--rule) }
p { max-width:72ch; margin:10px 0 }
.soft, figcaption, .tile span { color:var(--soft); font-size:.86rem }
a { color:var(--link) }
nav { margin:18px 0 0; display:flex; flex-wrap:wrap; gap:4px 18px; font-size:.92rem }
nav a { text-decoration:none } nav a:hover { text-decoration:underline }
.tiles { display:grid; gap:10px; grid-template-columns:repeat(auto-fill,minmax(150px,1fr)) }
.tile { background:var(--card); border-radius:10px; padding:12px 14px; min-width:0 }
.tile b { display:block; font-size:1.4rem; line-height:1.25; font-weight:600;
  font-variant-numeric:tabular-nums; overflow-wrap:anywhere }
.tile span { overflow-wrap:anywhere }
.tiles + .scroll { margin-top:16px }
.figures { display:grid; gap:14px;
  grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr)) }
figure { margin:0; min-width:0 } figure + figure:not(.figures figure) { margin-top:16px }
.figures figure { background:var(--card); border-radius:10px; padding:10px }
figure svg { display:block; width:100%; max-width:760px; height:auto }
figcaption { margin-top:6px }
.scroll { overflow-x:auto; border-radius:8px }
.scroll img { display:block; width:100%; height:auto }
video { display:block; max-width:100%; border-radius:8px; background:#000 }
.player > video { width:100%; max-width:760px; max-height:60vh }
.player > figure { margin-top:12px }
.player { margin:16px 0 28px } .player [data-at] { cursor:pointer }
.moments { display:grid; gap:10px; margin-top:12px;
  grid-template-columns:repeat(auto-fill,minmax(150px,1fr)) }
.moments button { background:var(--card); color:inherit; border:0; border-radius:8px; padding:6px;
  font:inherit; font-size:.84rem; text-align:left; min-width:0 }
.moments button:hover, .moments button:focus-visible { outline:2px solid var(--link) }
.moments img { display:block; width:100%; aspect-ratio:4/3; object-fit:cover; border-radius:5px }
.moments b { display:block; margin-top:4px; font-weight:600; overflow-wrap:anywhere }
.moments span { color:var(--soft) }
table { border-collapse:collapse; font-size:.9rem; width:100%; font-variant-numeric:tabular-nums }
th, td { text-align:left; padding:5px 14px 5px 0; border-bottom:1px solid var(--rule);
  vertical-align:top; overflow-wrap:anywhere }
th { color:var(--soft); font-weight:600 }
.facts { width:auto; min-width:min(100%,420px) } .facts th { font-weight:400; padding-right:28px }
td.number, th.number { text-align:right }
.rows th, .rows td { min-width:5em; overflow-wrap:normal }
.rows th:first-child, .rows td:first-child { min-width:10em }
pre { background:var(--card); border-radius:8px; padding:12px; overflow-x:auto; margin:10px 0;
  font:12.5px/1.5 ui-monospace,Menlo,Consolas,monospace; max-height:28rem }
summary { cursor:pointer; color:var(--link); margin:12px 0 }
.warning { background:var(--warn-paper); color:var(--warn); border-left:4px solid currentColor;
  border-radius:4px; padding:8px 14px; margin:10px 0; overflow-wrap:anywhere }
@media (max-width:520px) { main { padding:18px 14px 48px } body { font-size:15px }
  .moments { grid-template-columns:repeat(auto-fill,minmax(120px,1fr)) }
  .tiles { grid-template-columns:1fr 1fr } .tile b { font-size:1.15rem }
  .facts { width:100% } }
"""
