"""The SE paper's own figures, to stand beside ours of the same network and data, by another recipe.

Hu et al., https://arxiv.org/abs/1709.01507v4, tables 10 to 16: ResNet-50 on ImageNet, one run
each, top-1 error in percent; and table 2 for the depths.
"""

# By an arm's label without its network: "" is the plain net.
ABLATIONS = {
    "": (23.30, 10),
    "se-r2": (22.29, 10),
    "se-r4": (22.25, 10),
    "se-r8": (22.26, 10),
    "se-r16": (22.28, 10),
    "se-r32": (22.72, 10),
    "se-r16-squeeze_max": (22.57, 11),
    "se-r16-gate_relu": (23.47, 12),
    "se-r16-gate_tanh": (23.00, 12),
    "se-r16-stages_1": (23.03, 13),
    "se-r16-stages_2": (23.04, 13),
    "se-r16-stages_3": (22.68, 13),
    "se-r16-pre": (22.23, 14),
    "se-r16-post": (22.78, 14),
    "se-r16-identity": (22.20, 14),
    "se-r16-inner": (22.48, 15),
    "se-r16-squeeze_none": (22.93, 16),
}
# Table 2: networks whose own figures are in the paper.
DEPTHS = {
    ("resnet101", ""): 23.17,
    ("resnet101", "se-r16"): 22.38,
    ("resnet152", ""): 22.42,
    ("resnet152", "se-r16"): 21.57,
}


NETWORK = "resnet50"  # of the ablations


def is_imagenet(data: str, num_classes: str) -> bool:
    """Whether these are, by all that a record says, the data of the paper's figures."""
    return data == "imagenet_subset" and num_classes == "1000"


def paper_figure(label: str, model: str) -> str:
    """The paper's top-1 accuracy for an arm of this network on ImageNet; "" if it has none."""
    kind = label.replace(f"_{model}", "", 1) if label != model else ""
    if (model, kind) in DEPTHS:
        return f"{100 - DEPTHS[model, kind]:.2f} (ImageNet, table 2)"
    if model != NETWORK or kind not in ABLATIONS:
        return ""
    error, table = ABLATIONS[kind]
    return f"{100 - error:.2f} (ImageNet, table {table})"
