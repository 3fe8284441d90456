"""The picture for the README: CPU per request, side by side."""

from html import escape

from report import Row, number

COLOURS = {
    "wicketgate": "#0b7285",
    "nginx": "#868e96",
    "HAProxy": "#ced4da",
    "Envoy": "#b197fc",
    "Caddy": "#a9e34b",
    "Caddy + forward_auth": "#a9e34b",
}
# The cases whose price is the CPU time of a request.
SHOWN = ("a", "c:", "d:", "e:", "f:", "g:", "i:", "o: full")
TEXT, GROUND, LINE = "#212529", "#ffffff", "#dee2e6"
WIDTH, LABEL, BAR, GAP, TOP = 860, 250, 18, 18, 62


def picture(rows: list[Row]) -> str:
    """An SVG with one group of bars per case; each group is scaled to its longest bar."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.unit.startswith("us CPU") and row.side in COLOURS and row.case.startswith(SHOWN):
            groups.setdefault(row.case, []).append(row)
    parts, top = [], TOP
    for case, found in groups.items():
        parts.append(text(LABEL - 12, top + len(found) * BAR / 2 + 5, case, "end"))
        longest = max(row.value for row in found)
        for row in found:
            length = max(2.0, row.value / longest * (WIDTH - LABEL - 200))
            parts.append(f'<rect x="{LABEL}" y="{top}" width="{length:.1f}" height="{BAR - 4}" fill="{COLOURS[row.side]}"/>')
            parts.append(text(LABEL + length + 6, top + 11, f"{row.side} {number(row.value)} {row.unit[:2]}", "start", 11))
            top += BAR
        top += GAP
    head = text(20, 26, "CPU time that one request costs (shorter is better)", "start", 15)
    note = text(20, 46, "wicketgate checks the client's token, the customer's token and the API key; nginx, HAProxy (but in c) and Caddy alone check nothing.", "start", 11)
    ground = f'<rect width="{WIDTH}" height="{top}" rx="6" fill="{GROUND}" stroke="{LINE}"/>'
    body = "\n".join([ground, head, note, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" font-family="sans-serif">\n{body}\n</svg>\n'


def text(x: float, y: float, words: str, anchor: str, size: int = 13) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" fill="{TEXT}">{escape(words)}</text>'
