"""The pictures of the concept pages, made by the code they explain.

python -m website.pictures [NAME ...] draws docs/pictures/NAME.png anew; `looking`, `pointing` and `learning` train a
model first.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from PIL import Image

import attnlab
from attnlab.config import conf_dir, register_resolvers
from attnlab.plots.style import NOTHING, PAST, PREDICTION, QUIET, TRUTH
from attnlab.runs.store import read_metrics
from attnlab.spec import DataSpec, Series, StepLabels

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
#: Encoders whose reach is drawn: one of each way to look back.
REACHING = ("rnn", "lstm", "min_gru", "history_rnn", "transformer", "tcn")
REACH = 48


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m website.pictures", description="Draws the concept pages' pictures."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DRAWN)}; all where none is named")
    register_resolvers()
    for name in parser.parse_args().names or DRAWN:
        if name not in DRAWN:
            parser.error(f"there is no picture {name}; choose from {', '.join(DRAWN)}")
        picture = DRAWN[name]()
        PICTURES.mkdir(exist_ok=True)
        picture.save(PICTURES / f"{name}.png", optimize=True)
        print(f"{name}.png: {(PICTURES / f'{name}.png').stat().st_size / 1000:.0f} kB", flush=True)


def rendered(chart: Any) -> Image.Image:
    """As a picture of 256 colours, which is small."""
    buffer = io.BytesIO()
    chart.save(buffer, format="png", scale_factor=1.5)
    return few_colours(Image.open(buffer))


def few_colours(picture: Image.Image) -> Image.Image:
    return picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)


def configured(*words: str) -> DictConfig:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", list(words))


def normalizers() -> Image.Image:
    """The same six scores through each normalizer."""
    scores = torch.tensor([2.0, 1.6, 0.8, 0.0, -0.5, -2.0])
    drawn = []
    for name in ("softmax", "entmax15", "sparsemax", "softmax_plus_one", "sigmoid"):
        normalizer = instantiate(configured(f"attention/normalizer={name}").attention.normalizer)()
        weights = normalizer(scores, torch.ones(len(scores), dtype=torch.bool))
        rows = [{"score": f"{float(s):g}", "weight": float(w)} for s, w in zip(scores, weights, strict=True)]
        bars = alt.Chart(alt.Data(values=rows), title=name).encode(
            x=alt.X("score:N", sort=None, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("weight:Q", scale=alt.Scale(domain=[0, 1])),
        )
        numbers = bars.mark_text(dy=-6, fontSize=9).encode(text=alt.Text("weight:Q", format=".2f"))
        drawn.append(alt.layer(bars.mark_bar(color=PAST), numbers).properties(width=150, height=130))
    return rendered(alt.hconcat(*drawn))


def scores() -> Image.Image:
    """What each score says of keys in the plane, for one query."""
    query, axis = torch.tensor([1.0, 0.5]), torch.linspace(-2, 2, 41)
    keys = torch.cartesian_prod(axis, axis)
    drawn = []
    for name in ("dot", "cosine", "bilinear", "additive"):
        torch.manual_seed(3)
        attention = instantiate(configured(f"attention={name}", "dim=16").attention)(2, 2, None)
        with torch.no_grad():
            values = attention(query[None, None], keys[None]).scores[0, 0, 0]
        cells = [{"x": float(k[0]), "y": float(k[1]), "score": float(v)} for k, v in zip(keys, values, strict=True)]
        most = float(values.abs().max())
        plane = (
            alt.Chart(alt.Data(values=cells))
            .mark_square(size=22, opacity=1)
            .encode(
                x=alt.X(
                    "x:Q", title="k₁", scale=alt.Scale(domain=[-2, 2]), axis=alt.Axis(grid=False, values=[-2, 0, 2])
                ),
                y=alt.Y(
                    "y:Q", title="k₂", scale=alt.Scale(domain=[-2, 2]), axis=alt.Axis(grid=False, values=[-2, 0, 2])
                ),
                color=alt.Color(
                    "score:Q",
                    legend=None,
                    scale=alt.Scale(domain=[-most, 0, most], range=[PREDICTION, NOTHING, PAST], interpolate="rgb"),
                ),
            )
        )
        arrow = alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 0.5}])).mark_line(color=TRUTH, point=True)
        drawn.append(alt.layer(plane, arrow.encode(x="x:Q", y="y:Q")).properties(width=170, height=170, title=name))
    return rendered(alt.hconcat(*drawn).resolve_scale(color="independent"))


def places() -> Image.Image:
    """Where the weights of equal scores go, when places have a say."""
    length = 24
    drawn = []
    for title, words in {
        "plain": [],
        "attention/window=local, radius 3": ["attention/window=local", "attention.window.radius=3"],
        "attention/position=alibi, head 1 of 4": ["attention/position=alibi", "attention.num_heads=4"],
        "causal data": [],
    }.items():
        cfg = configured("attention=dot", *words)
        attention = instantiate(cfg.attention)(4, 4, None)
        mask = torch.ones(1, length, length, dtype=torch.bool)
        nothing = torch.zeros(1, length, 4)
        with torch.no_grad():
            weights = attention(nothing, nothing, mask=mask.tril() if title == "causal data" else mask).weights[0, 0]
        shown = weights / weights.max(-1, keepdim=True).values
        cells = [{"query": i, "item": j, "weight": float(shown[i, j])} for i in range(length) for j in range(length)]
        drawn.append(
            alt.Chart(alt.Data(values=cells), title=title)
            .mark_rect()
            .encode(
                x=alt.X("item:O", axis=alt.Axis(values=[0, 12, 23], labelAngle=0)),
                y=alt.Y("query:O", axis=alt.Axis(values=[0, 12, 23])),
                color=alt.Color("weight:Q", legend=None, scale=alt.Scale(range=[NOTHING, TRUTH], domain=[0, 1])),
            )
            .properties(width=170, height=170)
        )
    return rendered(alt.hconcat(*drawn))


def reach() -> Image.Image:
    """How much the last state of an untrained encoder changes with each input: |∂h_T/∂x_t|, the mean of 8 draws."""
    spec = DataSpec(Series(16), StepLabels(2), max_length=REACH)
    rows = []
    for name in REACHING:
        recipe = instantiate(configured(f"encoder={name}", "attention=dot", "dim=16").encoder, _convert_="all")
        found = torch.zeros(REACH)
        for seed in range(8):
            torch.manual_seed(seed)
            inputs = torch.randn(1, REACH, 16, requires_grad=True)
            encoder = recipe(16, spec).eval()
            state = encoder(inputs, torch.ones(1, REACH, dtype=torch.bool)).states[0, -1]
            (gradient,) = torch.autograd.grad((state * torch.randn_like(state)).sum(), inputs)
            found += gradient[0].norm(dim=-1) / 8
        relative = (found / found.max()).clamp(min=1e-8)
        rows += [{"encoder": name, "ago": REACH - 1 - t, "reach": float(relative[t])} for t in range(REACH)]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2, clip=True)
        .encode(
            x=alt.X("ago:Q", title="steps before the last", scale=alt.Scale(domain=[0, REACH - 1])),
            y=alt.Y("reach:Q", title="influence, share of the largest", scale=alt.Scale(type="log", domain=[1e-6, 1])),
            color=alt.Color("encoder:N", title=None, sort=None, scale=alt.Scale(range=OKABE_ITO)),
        )
        .properties(width=560, height=240)
    )
    return rendered(chart)


#: Colours of Okabe & Ito (2008) that stand apart as lines on white.
OKABE_ITO = ["#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00"]


def window() -> Image.Image:
    """A window of the Beijing test part with two of its baselines."""
    data = instantiate(configured("data=beijing").data, _convert_="all")
    batch, index, variable = data.source("test")[np.array([2500])], 0, data.schema.targets.index("TEMP")
    mean, scale = data.schema.mean[variable], data.schema.scale[variable]
    baselines = data.baselines()
    series = {
        "known (data.lookback)": (-np.arange(batch.inputs.shape[1], 0, -1), batch.inputs[index, :, variable]),
        "to be forecast (data.horizon)": (np.arange(batch.targets.shape[1]), batch.targets[index, :, variable]),
        "last value": (np.arange(batch.targets.shape[1]), baselines["last_value"](batch)[index, :, variable]),
        "same hour yesterday": (
            np.arange(batch.targets.shape[1]),
            baselines["seasonal_naive"](batch)[index, :, variable],
        ),
    }
    rows = [
        {"what": name, "hour": int(hour), "temperature": float(value) * scale + mean}
        for name, (hours, values) in series.items()
        for hour, value in zip(hours, values, strict=True)
    ]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=1.5)
        .encode(
            x=alt.X("hour:Q", title="hours from the moment of the forecast", scale=alt.Scale(nice=False)),
            y=alt.Y("temperature:Q", title="TEMP, °C", scale=alt.Scale(zero=False)),
            color=alt.Color("what:N", title=None, sort=None, scale=alt.Scale(range=[PAST, TRUTH, QUIET, PREDICTION])),
        )
        .properties(width=560, height=200)
    )
    return rendered(chart)


def looking() -> Image.Image:
    """The map of a decoder that has learned to reverse."""
    return _drawn_by_a_run("attention.png", "experiment=reverse", "data.length=10", "trainer.max_epochs=1")


def pointing() -> Image.Image:
    """Tours of a pointer network after a short training."""
    return _drawn_by_a_run("tours.png", "experiment=tsp10", "dim=64", "trainer.max_epochs=4")


def learning() -> Image.Image:
    """What a run's metrics.jsonl holds: the loss of a step now and then, and each validation."""
    words = ["experiment=reverse", "data.length=10", "trainer.max_steps=200", "trainer.val_check_interval=10"]
    with tempfile.TemporaryDirectory() as folder:
        lines = read_metrics(attnlab.train(*words, f"run_dir={folder}").path)
    drawn = []
    for metric, colour in (("train/loss", PAST), ("val/exact_match", PREDICTION)):
        rows = [{"step": line["step"], metric: line[metric]} for line in lines if metric in line]
        drawn.append(
            alt.Chart(alt.Data(values=rows), title=metric)
            .mark_line(color=colour, strokeWidth=1.5, point=alt.OverlayMarkDef(size=12, color=colour))
            .encode(x=alt.X("step:Q", scale=alt.Scale(nice=False)), y=alt.Y(f"{metric}:Q", title=None))
            .properties(width=260, height=160)
        )
    return rendered(alt.hconcat(*drawn))


def _drawn_by_a_run(name: str, *overrides: str) -> Image.Image:
    with tempfile.TemporaryDirectory() as folder:
        run = attnlab.train(*overrides, f"run_dir={folder}")
        return few_colours(Image.open(run.path / "plots" / name))


DRAWN: dict[str, Callable[[], Image.Image]] = {
    function.__name__: function
    for function in (normalizers, scores, places, reach, window, looking, pointing, learning)
}

if __name__ == "__main__":
    main()
