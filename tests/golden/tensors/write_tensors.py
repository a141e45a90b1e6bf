"""Write ``head.safetensors`` and ``expected.npy`` beside this file, with the safetensors library and ml_dtypes.

Done once, with safetensors 0.8.0; what is written stays as it is for good.
"""

from pathlib import Path

import numpy as np

if __name__ == "__main__":
    import ml_dtypes
    from safetensors.numpy import save_file

    folder = Path(__file__).parent
    expected = np.random.default_rng(0).standard_normal((6, 4))
    kinds = {"float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
    tensors = {name: expected.astype(kind) for name, kind in kinds.items()} | {"bias": expected[:, 1].copy()}
    save_file(tensors, folder / "head.safetensors", metadata={"format": "np"})
    np.save(folder / "expected.npy", expected)
