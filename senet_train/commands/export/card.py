"""The model card in Markdown: what an exported file is, its metrics, and how to use it."""

from collections.abc import Sequence

from senet_train.commands.export.pipeline import INPUT
from senet_train.compare.render.markdown import escaped
from senet_train.config.image_size import height_width, size_words
from senet_train.data.framing import Fit
from senet_train.runs.metrics import TOP5_FROM, of_classifier
from senet_train.runs.record import RunRecord
from senet_train.runs.trained.load import Trained

READ = """```python
import numpy
from PIL import Image, ImageOps

def read(path):
    with Image.open(path) as stored:
        deep = stored.mode.startswith("I")  # grey with more than 8 bits a value
        inverted = deep and getattr(stored, "tag_v2", {{}}).get(262) == 0  # white is zero
        image = ImageOps.exif_transpose(stored)
    if deep:
        values = numpy.asarray(image).clip(max={highest}) >> {shift}
        image = Image.fromarray((255 - values if inverted else values).astype("uint8"))
    elif image.mode == "F":  # from 0 to 1
        image = Image.fromarray(numpy.rint(255 * numpy.asarray(image)).astype("uint8"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
{frame}
```"""


ONNX = """```python
import numpy, onnxruntime
session = onnxruntime.InferenceSession("{file}")
images = numpy.asarray(read("image.png"))[None]
logits, probabilities = session.run(None, {{"{input}": images}})
```
The names of the classes: `session.get_modelmeta().custom_metadata_map["class_names"]`, JSON."""


TORCH_EXPORT = """```python
import numpy, torch
model = torch.export.load("{file}", extra_files=(facts := {{"senet.json": ""}})).module()
logits, probabilities = model(torch.from_numpy(numpy.array(read("image.png"))[None]))
```
The names of the classes: `json.loads(facts["senet.json"])["class_names"]`, JSON once more."""


SAFETENSORS = """```python
from senet_train import load_safetensors
run = load_safetensors("{file}")
probabilities = run.model(run.preprocess("image.png")).softmax(1)
```
`run.class_names` are in the order of the probabilities. The weights are not folded."""


USES = {"onnx": ONNX, "torch-export": TORCH_EXPORT, "safetensors": SAFETENSORS}


FRAMES: dict[Fit, str] = {
    "crop": 'ImageOps.fit(image.convert("RGB"), ({width}, {height}), '
    "Image.Resampling.BILINEAR{bleed})",
    "resize": 'image.convert("RGB").resize(({width}, {height}), Image.Resampling.BILINEAR)',
    "pad": 'ImageOps.pad(image.convert("RGB"), ({width}, {height}), Image.Resampling.BILINEAR)',
}


RESIZED_AND_CUT = """    image = image.convert("RGB")
    width, height = ({resize} * side // min(image.size) for side in image.size)
    left, top = round((width - {width}) / 2), round((height - {height}) / 2)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return image.crop((left, top, left + {width}, top + {height}))"""


MIRRORED = (
    "these scores are of the mean of the logits of each image and of its mirror "
    "(data.test_flips=horizontal); the exported file answers to one image"
)


def card(run: Trained, verdict: str, files: Sequence[tuple[str, str]]) -> str:
    """The whole text; `files` are formats and names."""
    parts = [
        f"# {escaped(run.label)}",
        "\n".join(network_lines(run)),
        "## How good",
        "\n".join(f"- {line}" for line in quality_lines(run, verdict)),
        *(["## What it costs", "\n".join(cost_lines(run.record))] if run.record else []),
        "## How to use it",
        *input_lines(run),
        *([f"An image as the run's own test read it:\n\n{reader(run)}"] if reads(files) else []),
        *(f"`{file}`:\n\n{use_of(name, file)}" for name, file in files),
        "## Licence",
        "The code that made this file, senet-train, is under the MIT licence. What the licence of "
        "the data allows with a network that was trained on them is yours to know.",
    ]
    return "\n\n".join(parts) + "\n"


def network_lines(run: Trained) -> list[str]:
    """Arm, data and classes, a row each."""
    config, options = run.config, run.config.attention.options.items()
    attention = ", ".join([config.attention.name, *(f"{k} {v}" for k, v in options)])
    where = config.placement
    widths = "/".join(map(str, dict.fromkeys(slot.hidden for slot in run.slots if slot.hidden)))
    rows = [("network", config.model.title), ("attention", attention)]
    if config.attention.name != "none":
        rows += [("placement", f"{where.position}, stages {where.stages}")]
        rows += [("hidden channels", widths or "none")]
    if run.record:
        rows += [("arm", run.record.arm), ("seed", str(run.record.seed))]
    rows += [
        ("data", f"{config.data.source.name}, {size_words(run.preprocess.image_size)}"),
        ("classes", f"{len(run.class_names)}: {', '.join(run.class_names[:10])}"),
    ]
    if len(run.class_names) > 10:
        rows[-1] = (rows[-1][0], rows[-1][1] + ", ...")
    return ["| | |", "| :-- | :-- |", *(f"| {name} | {escaped(value)} |" for name, value in rows)]


def quality_lines(run: Trained, verdict: str) -> list[str]:
    """Whether it can be used at all, then its metrics."""
    if any(getattr(module, "mixes_images", False) for module in run.model.modules()):
        control = "this control takes something of another image of the batch"
        return [f"**not for use**: {control}", *figures(run, verdict)]
    return figures(run, verdict)


def figures(run: Trained, verdict: str) -> list[str]:
    """The metrics, and how they were measured."""
    if run.record is None:
        return ["the run has not finished: it was never tested", f"its arm: {verdict}"]
    metrics = of_classifier(run.record.metrics)
    precision = run.record.environment.precision
    flips = run.config.data.test_flips
    top5 = f"top-5 {metrics.test_top5:.4f}, " if len(run.class_names) >= TOP5_FROM else ""
    return [
        f"test top-1 {metrics.test_top1:.4f}, {top5}loss {metrics.test_loss:.4f}: n = 1 seed, "
        "the test images read once, at the end",
        f"validation top-1 {metrics.val_top1:.4f} at epoch {metrics.best_epoch + 1}, which was "
        "chosen by it: no estimate of new images",
        f"tested in precision {escaped(precision)}; the exported file computes in float32",
        *([] if flips == "none" else [MIRRORED]),
        f"its arm: {verdict}",
    ]


def cost_lines(record: RunRecord) -> list[str]:
    """Counts, and the speed that the run measured on its machine."""
    cost, where = record.cost, record.environment
    share = 100 * cost.attention_parameters / cost.parameters
    latency = ", ".join(f"{ms.median:.2f} ms at {size}" for size, ms in cost.inference_ms.items())
    return [
        f"- {cost.parameters:,} parameters "
        f"(attention {cost.attention_parameters:,}, {share:.2f} %)",
        f"- {cost.multiply_adds / 1e6:,.2f} M multiply-adds an image "
        f"(attention {cost.attention_multiply_adds / 1e6:,.3f} M)",
        f"- inference in the run, not of this file: {escaped(latency)} images, median; "
        f"{escaped(where.device)}, {where.threads} threads, {escaped(where.precision)}, "
        f"kernel {escaped(where.kernel)}",
    ]


def input_lines(run: Trained) -> list[str]:
    """The input, and what the file does with it."""
    height, width = height_width(run.preprocess.image_size)
    lines = [
        f"`{INPUT}` are 8-bit RGB, uint8 (B, {height}, {width}, 3), any number of them; mean and "
        "deviation are taken care of inside."
    ]
    if run.preprocess.margin != 1 and run.preprocess.resize == "auto":
        lines.append(f"An image of {height} x {width} pixels (height x width) is taken whole.")
    return lines


def use_of(name: str, file: str) -> str:
    """The lines of code for one file."""
    return USES[name].format(file=file, input=INPUT)


def reads(files: Sequence[tuple[str, str]]) -> bool:
    """Whether one of the formats leaves the reading of images to its user."""
    return any(name != "safetensors" for name, _ in files)


def reader(run: Trained) -> str:
    """A function that reads, crops and scales an image as the run did; it needs no senet-train."""
    seen = run.preprocess
    bleed = "" if seen.margin == 1 else f", bleed={(1 - 1 / seen.margin) / 2!r}"
    form = f"    return {FRAMES[seen.fit]}" if seen.resize == "auto" else RESIZED_AND_CUT
    height, width = height_width(seen.image_size)
    frame = form.format(height=height, width=width, bleed=bleed, resize=seen.resize)
    return READ.format(highest=2**seen.bit_depth - 1, shift=seen.bit_depth - 8, frame=frame)
