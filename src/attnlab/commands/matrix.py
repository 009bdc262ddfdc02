"""The table of attnlab options --matrix."""

from __future__ import annotations


def print_matrix() -> None:
    """One table per dataset: a row per encoder, a column per attention, a letter per normalizer."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from attnlab.config import choices
    from attnlab.matrix import combinations

    torch.set_num_threads(1)  # many tiny models: more threads only wait for each other
    console = Console(highlight=False)
    console.width = max(console.width, 120 if not console.is_terminal else 0)
    letters: dict[str, str] = {}
    for name in choices("attention/normalizer"):
        letters[name] = next(letter for letter in name if letter not in letters.values())
    cells: dict[tuple[str, str, str], str] = {}
    reasons: dict[str, list[str]] = {}
    trained = 0
    for combination in combinations():
        chosen = combination.choices
        place = (chosen["data"], chosen["encoder"], chosen["attention"])
        refusal = combination.refusal
        letter = letters.get(chosen.get("attention/normalizer", ""), "✓")
        trained += refusal is None
        cells[place] = cells.get(place, "") + (letter if refusal is None else "·")
        for problem in refusal.problems if refusal else []:
            reasons.setdefault(problem, []).append(" ".join(chosen.values()))
    legend = ", ".join(f"{letter} {name}" for name, letter in letters.items())
    console.print(f"trained with: {legend}; ✓ no normalizer to choose; · refused\n")
    for data in dict.fromkeys(place[0] for place in cells):
        table = Table(box=None, pad_edge=False, title=f"data={data}", title_justify="left", title_style="bold")
        table.add_column("encoder")
        attentions = list(dict.fromkeys(place[2] for place in cells))
        for attention in attentions:
            table.add_column(attention)
        for encoder in dict.fromkeys(place[1] for place in cells):
            table.add_row(encoder, *(cells[data, encoder, attention] for attention in attentions))
        console.print(table)
        console.print()
    refused = sum(cell.count("·") for cell in cells.values())
    console.print(f"{trained} combinations train, {refused} are refused:")
    for problem, where in reasons.items():
        console.print(f"  {len(where):>3} × {problem}", soft_wrap=True)
