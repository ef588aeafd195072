"""How a report looks: on a screen by day and by night, and on paper."""

STYLE = """\
:root { color-scheme: light dark; --ink: #1c2430; --soft: #56616f; --paper: #fff; --panel: #f5f7fa; --line: #d9dfe7;
  --good: #00714f; --bad: #a84300; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf2; --soft: #a9b4c2; --paper: #12161c; --panel: #1b212a;
  --line: #333d4a; --good: #3fcf9f; --bad: #ff9a5c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 .75rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
header p { color: var(--soft); margin: 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 1rem; margin: 1.5rem 0 0; }
.card { background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; padding: .9rem 1rem; }
.card dt { color: var(--soft); font-size: .9rem; }
.card dd { margin: 0; }
.card strong { display: block; font-size: 1.8rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card span { color: var(--soft); font-size: .85rem; }
.good strong { color: var(--good); }
.bad strong { color: var(--bad); }
figure { margin: 1rem 0; }
figcaption { font-weight: 600; margin-bottom: .25rem; }
figure svg { width: 100%; max-width: 54rem; height: auto; display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; min-width: 36rem; font-size: .92rem; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { text-align: left; vertical-align: top; padding: .45rem .75rem .45rem 0; border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 600; }
tbody th { font-weight: 600; overflow-wrap: anywhere; }
.name { min-width: 10.5rem; }
.whole { white-space: nowrap; }
td { overflow-wrap: anywhere; min-width: 6rem; }
td:last-child:not(.number) { min-width: 14rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.total th, .total td { font-weight: 700; border-bottom: none; }
@media print { body { max-width: none; padding: 0; } section { break-inside: avoid-page; } }
"""
