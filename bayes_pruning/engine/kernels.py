"""Triton kernels for GPUs: a convolution block as one kernel each way, and pooling that reads its input once.

A block is convolution (odd kernel, stride 1, same size), bias, ReLU and 2 x 2 max pooling of all members. Unfused, the
activations of the first layer of 105 members, 0.7 GB, pass through the memory about ten times a step; here only what
is left after pooling does, with a byte that says which of the four positions it was (4: none, ReLU cut all off).

Images are [members, images, h, w, channels], contiguous. The products are implicit matrix products: rows are
positions, columns filters, and the sum runs over the kernel's taps and channels. Few channels (a first layer's) are
summed at once, all taps together (FLAT of them); others tap by tap. Nothing is added atomically, so results repeat to
the bit. fused.py launches these kernels. With TRITON_INTERPRET=1 they run on a CPU, slowly; the tests do so.
"""

import triton
import triton.language as tl

NONE = tl.constexpr(4)  # of the four positions of a window: ReLU left none


@triton.jit
def _product(a, b, total, PRODUCT: tl.constexpr):
    if PRODUCT == "bf16":
        total = tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16), total)
    else:
        total = tl.dot(a, b, total, input_precision=PRODUCT)
    return total


@triton.jit
def _place(pooled, offset, height, width):
    """Image, row and column of the position `offset` (0 to 3) of a pooled one, counted through all images."""
    across, down = width // 2, height // 2
    image = pooled // (across * down)
    return image, 2 * (pooled // across % down) + offset // 2, 2 * (pooled % across) + offset % 2


@triton.jit
def block_forward(
    x, weight, bias, out, choice, x_stride, images, height, width,
    C: tl.constexpr, F: tl.constexpr, K: tl.constexpr, FLAT: tl.constexpr, BLOCK_F: tl.constexpr,
    KEEP_CHOICE: tl.constexpr, PRODUCT: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """The block's result and choice; a program has ROWS positions and BLOCK_F filters of one member."""
    member = tl.program_id(1).to(tl.int64)
    pooled_images = images * (height // 2) * (width // 2)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)  # four in a row make one pooled position
    image, down, across = _place(row // 4, row % 4, height, width)
    inside = row // 4 < pooled_images
    f = tl.program_id(2) * BLOCK_F + tl.arange(0, BLOCK_F)
    x += member * x_stride
    weight += member * (F * K * K * C)
    total = tl.zeros((ROWS, BLOCK_F), tl.float32)
    if FLAT:
        k = tl.arange(0, FLAT)
        y = down[:, None] + (k // C // K - K // 2)[None, :]
        z = across[:, None] + (k // C % K - K // 2)[None, :]
        real = inside[:, None] & (k < K * K * C)[None, :] & (y >= 0) & (y < height) & (z >= 0) & (z < width)
        a = tl.load(x + ((image[:, None] * height + y) * width + z) * C + (k % C)[None, :], mask=real, other=0.0)
        b = tl.load(weight + f[None, :] * (K * K * C) + k[:, None], mask=(k < K * K * C)[:, None], other=0.0)
        total = _product(a, b, total, PRODUCT)
    else:
        c = tl.arange(0, C)
        for tap in range(K * K):
            y, z = down + tap // K - K // 2, across + tap % K - K // 2
            real = inside & (y >= 0) & (y < height) & (z >= 0) & (z < width)
            a = tl.load(
                x + (((image * height + y) * width + z) * C)[:, None] + c[None, :], mask=real[:, None], other=0.0
            )
            b = tl.load(weight + f[None, :] * (K * K * C) + (tap * C + c)[:, None])
            total = _product(a, b, total, PRODUCT)
    total += tl.load(bias + member * F + f)[None, :]
    windows = tl.reshape(total, (ROWS // 4, 4, BLOCK_F))
    poison = tl.sum(windows, axis=1)  # a maximum alone would hide NaN
    best, which = tl.max(tl.where(windows == windows, windows, float("-inf")), axis=1, return_indices=True)
    best = tl.where(poison == poison, tl.maximum(best, 0.0), poison)  # so that the run is seen to fail
    pooled = tl.program_id(0) * (ROWS // 4) + tl.arange(0, ROWS // 4)
    at = (member * pooled_images + pooled[:, None]) * F + f[None, :]
    real_pooled = (pooled < pooled_images)[:, None] & (f < F)[None, :]
    tl.store(out + at, best, mask=real_pooled)
    if KEEP_CHOICE:
        tl.store(choice + at, tl.where(best > 0, which, NONE).to(tl.uint8), mask=real_pooled)


@triton.jit
def block_backward_inputs(
    gradient, choice, weight, out, images, height, width,
    C: tl.constexpr, BLOCK_C: tl.constexpr, F: tl.constexpr, K: tl.constexpr,
    PRODUCT: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Gradient of the images, from weight [members, k * k, channels, filters]; a program has ROWS positions."""
    member = tl.program_id(1).to(tl.int64)
    down_pooled, across_pooled = height // 2, width // 2
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    image, down, across = row // (height * width), row // width % height, row % width
    inside = image < images
    c, f = tl.arange(0, BLOCK_C), tl.arange(0, F)
    base = member * images * down_pooled * across_pooled
    weight += member * (F * K * K * C)
    total = tl.zeros((ROWS, BLOCK_C), tl.float32)
    for tap in range(K * K):
        y, z = down + K // 2 - tap // K, across + K // 2 - tap % K  # the outputs that this input went into
        real = inside & (y >= 0) & (y < height) & (z >= 0) & (z < width)
        at = ((base + (image * down_pooled + y // 2) * across_pooled + z // 2) * F)[:, None] + f[None, :]
        chosen = tl.load(choice + at, mask=real[:, None], other=4).to(tl.int32) == (y % 2 * 2 + z % 2)[:, None]
        a = tl.where(chosen, tl.load(gradient + at, mask=real[:, None], other=0.0), 0.0)
        b = tl.load(weight + (tap * C + c)[None, :] * F + f[:, None], mask=(c < C)[None, :], other=0.0)
        total = _product(a, b, total, PRODUCT)
    at = (member * images * height * width + row)[:, None] * C + c[None, :]
    tl.store(out + at, total, mask=inside[:, None] & (c < C)[None, :])


@triton.jit
def block_backward_weights(
    x, gradient, choice, out, out_bias, x_stride, images, height, width, splits,
    C: tl.constexpr, F: tl.constexpr, K: tl.constexpr, FLAT: tl.constexpr, PART: tl.constexpr,
    PRODUCT: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Parts of the weights' and biases' gradients, to be added up over the splits of PART pooled positions each.

    out [members, splits, filters, k * k * channels], out_bias [members, splits, filters].
    """
    split, member, tap = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    pooled_images = images * (height // 2) * (width // 2)
    f = tl.arange(0, F)
    N: tl.constexpr = FLAT if FLAT else C
    n = tl.arange(0, N)
    if FLAT:
        c, shift_y, shift_z, real_n = n % C, n // C // K - K // 2, n // C % K - K // 2, n < K * K * C
    else:
        c, shift_y, shift_z, real_n = n, n * 0 + tap // K - K // 2, n * 0 + tap % K - K // 2, n < C
    x += member * x_stride
    total = tl.zeros((F, N), tl.float32)
    bias = tl.zeros((F,), tl.float32)
    for start in range(0, PART, ROWS):
        pooled = split * PART + start + tl.arange(0, ROWS)
        inside = pooled < tl.minimum((split + 1) * PART, pooled_images)
        at = ((member * pooled_images + pooled) * F)[:, None] + f[None, :]
        chosen = tl.load(choice + at, mask=inside[:, None], other=4).to(tl.int32)
        g = tl.load(gradient + at, mask=inside[:, None], other=0.0)
        bias += tl.sum(tl.where(chosen < NONE, g, 0.0), axis=0)
        for offset in range(4):
            image, down, across = _place(pooled, offset, height, width)
            y, z = down[:, None] + shift_y[None, :], across[:, None] + shift_z[None, :]
            real = inside[:, None] & real_n[None, :] & (y >= 0) & (y < height) & (z >= 0) & (z < width)
            b = tl.load(x + ((image[:, None] * height + y) * width + z) * C + c[None, :], mask=real, other=0.0)
            a = tl.trans(tl.where(chosen == offset, g, 0.0))
            total = _product(a, b, total, PRODUCT)
    base = member * splits + split
    at = (base * F + f)[:, None] * (K * K * C) + (tap * N + n)[None, :]
    tl.store(out + at, total, mask=real_n[None, :])
    if tap == 0:
        tl.store(out_bias + base * F + f, bias)


@triton.jit
def pool(
    x, bias, out, choice, pooled_images, images_a_member, height, width,
    F: tl.constexpr, KEEP_CHOICE: tl.constexpr, ELEMENTS: tl.constexpr,
):  # fmt: skip
    """Bias, ReLU and 2 x 2 max pooling of x [members * images, h, w, f]."""
    element = tl.program_id(0).to(tl.int64) * ELEMENTS + tl.arange(0, ELEMENTS)
    pooled, f = element // F, element % F
    inside = pooled < pooled_images
    member = pooled // (images_a_member * (height // 2) * (width // 2))
    shift = tl.load(bias + member * F + f, mask=inside, other=0.0)
    best = tl.full((ELEMENTS,), 0.0, tl.float32)
    which = tl.full((ELEMENTS,), 4, tl.int32)
    for offset in tl.static_range(4):
        image, down, across = _place(pooled, offset, height, width)
        value = tl.load(x + ((image * height + down) * width + across) * F + f, mask=inside, other=0.0) + shift
        better = (value > best) | (value != value)
        best, which = tl.where(better, value, best), tl.where(better, offset, which)
    tl.store(out + element, best, mask=inside)
    if KEEP_CHOICE:
        tl.store(choice + element, which.to(tl.uint8), mask=inside)


@triton.jit
def unpool(
    gradient, choice, out, pooled_images, height, width, F: tl.constexpr, ELEMENTS: tl.constexpr
):  # fmt: skip
    """Gradient of x from that of the pooled activations."""
    element = tl.program_id(0).to(tl.int64) * ELEMENTS + tl.arange(0, ELEMENTS)
    pooled, f = element // F, element % F
    inside = pooled < pooled_images
    g = tl.load(gradient + element, mask=inside, other=0.0)
    chosen = tl.load(choice + element, mask=inside, other=4).to(tl.int32)
    for offset in tl.static_range(4):
        image, down, across = _place(pooled, offset, height, width)
        at = ((image * height + down) * width + across) * F + f
        tl.store(out + at, tl.where(chosen == offset, g, 0.0), mask=inside)
