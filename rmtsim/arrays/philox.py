"""The GPU's generator of normals in NumPy: what ``kernels.cu`` computes, written to be read and to be tested against.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC 2011, Section 3.2 and
Table 2) turns a 128-bit counter and a 64-bit key into 128 random bits. There is no state, so any part of a stream
can be made alone, by any number of threads. The 128 bits that name a stream are its key and the high half of its
counters; the low half counts pairs of normals. So two streams share no counter unless they have the same name.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEPS = 0x9E3779B9, 0xBB67AE85  # golden ratio, √3 − 1
_ROUNDS = 10
_LOW, _WORD = np.uint64(0xFFFFFFFF), np.uint64(32)

#: Pairs of normals made at once: their arrays fit into a core's cache.
_CHUNK = 2**13


def philox4x32(counter: NDArray[np.uint32], key: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the random words of Philox4x32 with ten rounds.

    Parameters
    ----------
    counter
        (…, 4) words, lowest first.
    key
        (2,) words, lowest first.

    Returns
    -------
    ndarray
        (…, 4) words of uint32.

    Examples
    --------
    >>> import numpy as np
    >>> zeros = np.zeros(4, dtype=np.uint32)
    >>> [hex(word) for word in philox4x32(zeros, zeros[:2])]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    a, b, c, d = (counter[..., word].astype(np.uint64) for word in range(4))
    for turn in range(_ROUNDS):
        low, high = (np.uint64((int(word) + turn * step) % 2**32) for word, step in zip(key, _KEY_STEPS, strict=True))
        first, second = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]  # 64 bits each: no product overflows
        a, b = second >> _WORD ^ b ^ low, second & _LOW
        c, d = first >> _WORD ^ d ^ high, first & _LOW
    return np.stack([a, b, c, d], axis=-1).astype(np.uint32)


def normals(identity: bytes, start: int, stop: int, dtype: DTypeLike = np.float64) -> NDArray[np.floating]:
    """Return the standard normals number ``start`` … ``stop`` − 1 of a stream.

    Parameters
    ----------
    identity
        Name of the stream, 16 bytes: a hash of all that identifies it.
    start, stop
        Numbers from 0 to 2^63. Values do not depend on how a stream is divided into parts.
    dtype
        Of the result. Normals are made in float64 and rounded, so all dtypes see the same draw.

    Returns
    -------
    ndarray
        (stop − start,) normals, of size 8.6 at most.

    Raises
    ------
    ValueError
        If the name is not of 16 bytes or the numbers are out of range or order.

    Notes
    -----
    Counter n holds the 64 bits of n, then the last two words of the name; the key is the first two (little-endian).
    Its output, as two 64-bit numbers with the first word on top, gives by their upper 53 bits u₁ in (0, 1] and u₂ in
    [0, 1), and by Box and Muller (1958) normal 2n = √(−2 ln u₁) cos 2πu₂ and normal 2n + 1, with the sine.

    Examples
    --------
    >>> bool((normals(bytes(16), 0, 10)[3:7] == normals(bytes(16), 3, 7)).all())
    True
    """
    if len(identity) != 16:
        raise ValueError(f"the name of a stream has 16 bytes, not {len(identity)}")
    if not 0 <= start <= stop <= 2**63:
        raise ValueError(f"normals {start} to {stop} are not in the range from 0 to 2^63")
    words = np.frombuffer(identity, dtype="<u4")
    out = np.empty(stop - start, dtype=dtype)
    first, last = start // 2, (stop + 1) // 2
    for low in range(first, last, _CHUNK):
        pair = np.arange(low, min(low + _CHUNK, last), dtype=np.uint64)
        counter = np.empty((len(pair), 4), dtype=np.uint32)
        counter[:, 0], counter[:, 1] = pair & _LOW, pair >> _WORD
        counter[:, 2:] = words[2:]
        values = _box_muller(philox4x32(counter, words[:2]))
        begin, end = max(start, 2 * low), min(stop, 2 * (low + len(pair)))
        out[begin - start : end - start] = values[begin - 2 * low : end - 2 * low]
    return out


def _box_muller(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return two normals, cosine first, for each row of ``words`` (n, 4); (2n,)."""
    wide = words.astype(np.uint64)
    bits = (wide[:, ::2] << _WORD | wide[:, 1::2]) >> np.uint64(11)
    bits[:, 0] += np.uint64(1)  # keeps the logarithm finite
    uniform = bits.astype(np.float64) * 2.0**-53
    radius = np.sqrt(-2 * np.log(uniform[:, 0]))
    cosine, sine = _cos_sin_pi(2 * uniform[:, 1])
    return np.stack([radius * cosine, radius * sine], axis=-1).reshape(-1)


def _cos_sin_pi(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return cos πx and sin πx for x in [0, 2], with full relative accuracy also where they are near zero."""
    quarter = np.rint(2 * x)
    rest = np.pi * (x - quarter / 2)  # the difference is exact, at most 1/4 either way
    cosine, sine = np.cos(rest), np.sin(rest)
    odd = quarter % 2 == 1
    cosine, sine = np.where(odd, -sine, cosine), np.where(odd, cosine, sine)
    sign = np.where(quarter % 4 >= 2, -1.0, 1.0)
    return sign * cosine, sign * sine
