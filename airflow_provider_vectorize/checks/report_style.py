"""The style of a report, for light and dark screens."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--text:#1b2430;--soft:#5c6878;--line:#dfe3e9;
--track:#e8ebf0;--good:#1f7a4d;--good-soft:#e3f3ea;--bad:#b3261e;--bad-soft:#fbe7e5;--calm:#3f6fb5;--warn:#b06a00}
@media (prefers-color-scheme:dark){:root{--page:#12161c;--card:#1b212a;--text:#e6eaf0;--soft:#9aa6b5;
--line:#2e3744;--track:#2a323e;--good:#5cc48d;--good-soft:#173325;--bad:#ff8a80;--bad-soft:#3d1d1b;--calm:#7fa8e6;
--warn:#e8ab4f}
}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:960px;margin:0 auto;padding:32px 20px 48px}
h1{font-size:26px;line-height:1.25;margin:0}
h2{font-size:17px;margin:0 0 4px}
p{margin:0;color:var(--soft)}
code{font:13px ui-monospace,Menlo,Consolas,monospace}
section,header{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:22px 24px;
margin-bottom:18px}
header{display:flex;gap:20px;align-items:center}
.sign{flex:none;width:52px;height:52px;border-radius:50%;display:grid;place-items:center;font-size:26px;
font-weight:700}
.passed .sign{background:var(--good-soft);color:var(--good)}
.failed .sign{background:var(--bad-soft);color:var(--bad)}
dl{display:flex;flex-wrap:wrap;gap:6px 34px;margin:14px 0 0}
dt{color:var(--soft);font-size:13px}
dd{margin:0;font-weight:600}
.gate{display:grid;grid-template-columns:96px minmax(0,1fr) 260px 150px;gap:4px 16px;align-items:center;
padding:12px 0;border-top:1px solid var(--line)}
.gate:first-of-type{border-top:0}
.gate b{display:block}
.gate b::first-letter{text-transform:uppercase}
.gate small{color:var(--soft);font-size:13.5px;overflow-wrap:anywhere}
.badge{justify-self:start;padding:2px 10px;border-radius:99px;font-size:13px;font-weight:600;white-space:nowrap}
.badge.passed{background:var(--good-soft);color:var(--good)}
.badge.failed{background:var(--bad-soft);color:var(--bad)}
.badge.skipped{border:1px dashed var(--line);color:var(--soft)}
.figure{text-align:right;font-variant-numeric:tabular-nums}
.figure span{display:block;color:var(--soft);font-size:13px}
svg{display:block;width:100%;height:auto;overflow:visible}
.track{fill:var(--track)}
.bar.passed .value{fill:var(--good)}
.bar.failed .value{fill:var(--bad)}
.threshold{stroke:var(--text);stroke-width:1.5}
.flag{fill:var(--text)}
.queries{margin-top:14px}
.queries text{font-size:10px;fill:var(--soft)}
.grid{stroke:var(--line);stroke-width:.7}
.queries .best{fill:var(--calm)}
.queries rect.lower{fill:var(--warn)}
.queries .lost{stroke:var(--bad);stroke-width:2;fill:none}
.legend{font-size:13px;margin-top:8px}
.legend b{color:var(--text)}
table{border-collapse:collapse;width:100%;margin-top:14px;font-size:14px}
th{text-align:left;color:var(--soft);font-weight:500;white-space:nowrap}
th,td{padding:5px 12px 5px 0;border-top:1px solid var(--line);overflow-wrap:anywhere;vertical-align:top}
@media (max-width:760px){.gate{grid-template-columns:92px 1fr}
.gate>svg,.figure{grid-column:2}
.figure{text-align:left}
}
"""
