"""MetaX GPUs: the driver's nodes, and its management library's package, which Ray asks."""

from accel_scaling.families.family import RENDER_NODES, Family

FAMILY = Family(
    name="metax",
    resource="GPU",
    # Ray's manager of these GPUs sets CUDA's variable, too.
    visible_devices="CUDA_VISIBLE_DEVICES",
    shared=True,
    noun="MetaX GPU",
    vendors=["9999"],  # PCI-SIG's list of members; gpustack-runtime finds them by it, too
    nodes="dri/renderD[0-9]*",
    kernel_class=RENDER_NODES,
    control_node="mxcd",  # each GPU has a render node beside it: vLLM-MetaX documentation
    ray_since=(2, 53),
    # As ray/_private/accelerators/metax_gpu.py.
    module="pymxsml.mxsml_extension",
    question="""
mxsml = sys.modules["pymxsml.mxsml_extension"]
mxsml.mxSmlExInit()
count = mxsml.mxSmlExDeviceGetCount()
names = [mxsml.mxSmlExDeviceGetName(mxsml.mxSmlExDeviceGetHandleByIndex(number)) for number in range(count)]
mxsml.mxSmlExShutdown()
names = [name.decode() if isinstance(name, bytes) else name for name in names]
say(count, names[0] if names else None, names)
""",
    type_of_name=str,
    type_prefix="MXC",
    position=90,
)
