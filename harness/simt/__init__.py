"""A GPU on a CPU: the CUDA kernels compiled as C++ and run with the semantics of blocks and warps, behind a CuPy.

`simt.hpp` runs a block, `kernels` compiles and launches, `memory` counts what the device has and does, `arrays` and
`functions` are the arrays of CuPy over those of NumPy, and `cupy_module` puts it together under the name ``cupy``.
"""
