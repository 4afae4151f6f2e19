"""Networks of torchvision, and settings that train one of them quickly."""

# One of each family: how many units, the first one's name, how many have a shortcut.
FAMILIES = {
    "resnet18": (8, "layer1_0", 8),
    "resnext50_32x4d": (16, "layer1_0", 16),
    "wide_resnet50_2": (16, "layer1_0", 16),
    "densenet121": (58, "features_denseblock1_denselayer1", 0),
    "googlenet": (9, "inception3a", 0),
    "inception_v3": (11, "Mixed_5b", 0),
    "mobilenet_v2": (17, "features_1", 10),
    "mobilenet_v3_small": (11, "features_1", 6),
    "mnasnet0_5": (16, "layers_8_0", 10),
    "shufflenet_v2_x0_5": (16, "stage2_0", 0),
    "squeezenet1_1": (8, "features_3", 0),
    "efficientnet_b0": (16, "features_1_0", 9),
    "regnet_y_400mf": (16, "trunk_output_block1_block1-0", 16),
    "convnext_tiny": (18, "features_1_0", 18),
    "vgg11_bn": (8, "features_0", 0),
    "alexnet": (5, "features_0", 0),
}

FAKE = (
    "data=fake",
    "data.num_images=20",
    "data.num_test_images=8",
    "data.num_classes=2",
    "data.image_size=32",
    "data.batch_size=8",
    "model=torchvision",
    "trainer.precision=32",
    "trainer.max_epochs=1",
)
