# ruff: noqa: E501
"""The style sheet of a report: light and dark by the reader's system, on screens, phones and paper."""

STYLE = """
:root{color-scheme:light dark;
--paper:#f6f7f5;--surface:#fff;--sunken:#eef0ed;--hair:#e2e6e1;--hair-strong:#c3cbc5;--edge:#7e8a84;--ink:#111917;--ink-2:#414e49;--ink-3:#5c6964;--accent:#0a6a5b;--focus:#1553d1;--left:#1b69b0;--right:#bd4318;--axis:#414e49;
--e0:#2b8f7c;--e1:#b88300;--e2:#7a49c6;--e3:#2f7dc8;--e4:#c43a2f}
@media (prefers-color-scheme:dark){:root{
--paper:#0c1110;--surface:#121917;--sunken:#0a0e0d;--hair:#212c29;--hair-strong:#394743;--edge:#71807a;--ink:#e9efec;--ink-2:#b6c3bd;--ink-3:#8f9d97;--accent:#4fcbb2;--focus:#8ab4ff;--left:#6fb4f0;--right:#ff9068;--axis:#b6c3bd;
--e0:#3fae98;--e1:#e3b943;--e2:#b08cf5;--e3:#6fb4f0;--e4:#f47868}}
*{box-sizing:border-box;margin:0}
body{background:var(--paper);color:var(--ink);font:14px/1.5 system-ui,-apple-system,"Segoe UI","Noto Sans",Cantarell,"Liberation Sans",sans-serif;font-variant-numeric:tabular-nums;-webkit-text-size-adjust:100%}
main{max-width:1200px;margin:0 auto;padding:40px 32px 56px}
h1{font-size:28px;line-height:1.2;font-weight:620;letter-spacing:-.02em}
h2{font-size:16px;font-weight:620;line-height:1.3}
header>p{color:var(--ink-2);margin-top:4px}
header dl{display:flex;flex-wrap:wrap;gap:8px 28px;margin:16px 0 24px}
header dl div{display:flex;gap:8px;align-items:baseline}
dt{color:var(--ink-3);font-size:12px}
header dd{font-size:13px;font-weight:500}
.cards{display:grid;grid-template-columns:1.7fr repeat(5,1fr);background:var(--surface);border:1px solid var(--hair);border-radius:10px;overflow:hidden}
.cards div{padding:16px 20px;box-shadow:1px 0 0 var(--hair),0 1px 0 var(--hair)}
.cards.tall .first{grid-row:span 2}
.cards .first{padding:24px;display:flex;flex-direction:column;justify-content:center}
.cards dd{color:var(--ink-3);font-size:13px;white-space:nowrap}
.cards b{font-size:22px;font-weight:620;letter-spacing:-.02em;color:var(--ink)}
.cards .first b{font-size:56px;line-height:1.1;letter-spacing:-.035em}
.cards .first dt{font-size:14px;color:var(--ink-2)}
.cards dd span{display:block;font-size:12px}
.cards .first dd span{font-size:14px;color:var(--ink-2)}
.summary{font-size:16px;color:var(--ink-2);max-width:60rem;margin:24px 0}
.summary strong{color:var(--ink);font-weight:620}
.two{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:20px;margin-top:20px;align-items:start}
.two>div{display:grid;gap:20px;min-width:0;grid-template-columns:minmax(0,1fr)}
.slicing{margin-top:32px}
.four{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:20px}
h3{font-size:14px;font-weight:620;line-height:1.3;margin-bottom:2px}
.slices th[scope=row]{width:26%;white-space:normal}
.slices .n{width:4.5rem}
.slices .wide{width:auto;padding-left:22px;padding-right:6px}
.slices .bar{margin-top:2px}
.panel{background:var(--surface);border:1px solid var(--hair);border-radius:10px;padding:24px;min-width:0;overflow-x:auto}
.note{color:var(--ink-3);font-size:12px;margin:4px 0 12px}
.keys{display:flex;flex-wrap:wrap;gap:6px 16px;font-size:12px;color:var(--ink-2)}
.keys span{display:inline-flex;gap:6px;align-items:center}
.keys b{color:var(--ink);font-weight:620}
.keys svg{width:11px;height:11px}
table{width:100%;border-collapse:collapse;font-size:13px}
caption{text-align:left;color:var(--ink-3);font-size:12px;padding-bottom:6px}
th{text-align:left;font-weight:400;white-space:nowrap}
thead th{color:var(--ink-3);font-size:12px;font-weight:500;vertical-align:bottom}
th,td{padding:6px 0 6px 14px;border-bottom:1px solid var(--hair)}
th:first-child{padding-left:0}
tbody tr:last-child>*{border-bottom:0}
.n{text-align:right;white-space:nowrap}
.strong,.whole th,.whole td{font-weight:620}
.wide{width:46%}
.scroll{overflow-x:auto}
.scroll thead .n{white-space:normal;min-width:4.6rem}
details{margin-top:12px;font-size:13px}
summary{cursor:pointer;color:var(--ink-2);padding:4px 0}
:focus-visible{outline:2px solid var(--focus);outline-offset:2px}
svg{display:block}
.bar,.graticule{width:100%}
.graticule{overflow:visible}
.body,.plot{width:100%;height:auto;margin-top:12px}
.body{max-width:560px;margin-left:auto;margin-right:auto}
.e0{fill:var(--e0)}.e1{fill:var(--e1)}.e2{fill:var(--e2)}.e3{fill:var(--e3)}.e4{fill:var(--e4)}
.s0{stroke:var(--e0)}.s1{stroke:var(--e1)}.s2{stroke:var(--e2)}.s3{stroke:var(--e3)}.s4{stroke:var(--e4)}
.arc{fill:none}
.hole{fill:var(--surface)}
.bone{fill:none;stroke-width:2.25;stroke-linecap:round}
.br{stroke:var(--right)}.bl{stroke:var(--left)}.bc{stroke:var(--axis)}
.jr{fill:var(--right)}.jl{fill:var(--left)}.jc{fill:var(--axis)}
.ghost{stroke:var(--ink);opacity:.07;fill:none;stroke-linecap:round;stroke-linejoin:round}
.flesh{fill:var(--ink)}
.lead{stroke:var(--hair-strong);fill:none}
text{font-size:11.5px;fill:var(--ink-2)}
.lab{fill:var(--ink);font-weight:500;font-size:12px}
.ax{fill:var(--ink-3);font-size:11px}
.sideR{fill:var(--right);font-weight:620}.sideL{fill:var(--left);font-weight:620;text-anchor:end}
.tick{stroke:var(--hair)}
.dotted{stroke:var(--edge);stroke-dasharray:1.5 3}
.line{fill:none;stroke:var(--edge);stroke-width:1.2;opacity:.75}
.line.strong{stroke:var(--accent);stroke-width:2.25;opacity:1}
.ax.strong{fill:var(--accent);font-weight:620}
.whisk{stroke:var(--accent);stroke-width:2}
.mark{fill:var(--accent)}
footer{margin-top:32px;color:var(--ink-3);font-size:12px}
footer p{margin-top:6px;overflow-wrap:anywhere}
code{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media (max-width:1000px){.cards{grid-template-columns:repeat(3,1fr)}.cards .first,.cards.tall .first{grid-column:1/-1;grid-row:auto}}
@media (max-width:900px){.two,.four{grid-template-columns:minmax(0,1fr)}}
@media (max-width:720px){main{padding:24px 16px 40px}h1{font-size:22px}.panel{padding:16px}.cards{grid-template-columns:repeat(2,1fr)}.cards div{padding:12px 14px}.wide{width:34%}.slices .n{width:3.4rem}.slices .wide{padding-left:14px}th,td{padding-left:8px}.lab,.sideR,.sideL{font-size:17px}.body .ax,.note span{display:none}.plot text{font-size:13.5px}}
@media print{body{background:#fff}.panel{break-inside:avoid}}
"""
