"""Checkerboard artefacts of upsampling by transposed convolutions."""

import numpy as np

_PERIOD = 4  # pixels, the period of the pattern of two layers of stride 2
_NEAR = (2, 4)  # nearest and farthest bins with which a frequency is compared
_LEAST = 24  # pixels along a side


def grid_energy(images: np.ndarray) -> float:
  r"""Computes the relative spectral energy at periods of 2 and 4 pixels.

  .. math:: \frac1{|F|} \sum_{f \in F}
            \frac{\sum_x P_x(f)}{\sum_x \overline{P_x}(\text{near } f)}

  P_x is the power spectrum of image x, in gray, less its mean and under a Hann
  window. F is the set of multiples of 1/4 per pixel in both directions without
  0, which hold the energy of patterns of period 2 or 4, such as those of one or
  two stride-2 layers. The frequencies near f are 2 to 4 bins away, so that
  blur, contrast and size hardly matter. Without such a pattern, it is about 1.

  Args:
    images: [N, H, W, C], of any range, H and W at least 24.

  Returns:
    The energy relative to that of nearby frequencies.

  Raises:
    ValueError: smaller images, or another shape.

  References:
    Odena et al. 2016, https://doi.org/10.23915/distill.00003, describe the
    artefact.

  >>> import numpy as np
  >>> images = np.random.default_rng(0).normal(size=(50, 64, 64, 3))
  >>> print(round(grid_energy(images), 1))
  1.0
  >>> images[:, ::2, ::2] += 0.5
  >>> print(grid_energy(images) > 2.0)
  True
  """
  images = np.asarray(images)
  if images.ndim != 4 or min(images.shape[1:3]) < _LEAST:
    raise ValueError(
      f'images must be [N, H, W, C] with H and W of {_LEAST} pixels or more, '
      f'got {images.shape}'
    )
  height, width = (side - side % _PERIOD for side in images.shape[1:3])
  window = np.outer(*(np.hanning(n + 1)[:n] for n in (height, width)))
  power = np.zeros((height, width))
  for image in images:
    gray = image[:height, :width].mean(axis=-1, dtype=np.float64)
    gray -= (gray * window).sum() / window.sum()
    power += np.abs(np.fft.fft2(gray * window)) ** 2
  low, high = _NEAR
  rows, columns = np.mgrid[-high : high + 1, -high : high + 1]
  near = np.maximum(abs(rows), abs(columns)) >= low
  ratios = []
  for i in range(_PERIOD):
    for j in range(_PERIOD):
      if i or j:
        y, x = i * height // _PERIOD, j * width // _PERIOD
        around = power[(y + rows[near]) % height, (x + columns[near]) % width]
        ratios.append(power[y, x] / max(around.mean(), np.finfo(float).tiny))
  return float(np.mean(ratios))


def grid_artefact(fake: np.ndarray, real: np.ndarray) -> float | None:
  """Computes `grid_energy` of generated images relative to that of real ones.

  Args:
    fake: generated images, [N, H, W, C].
    real: real images, [M, H', W', C'], of the same range.

  Returns:
    The ratio, 1 if both have the same grid energy; None for images of less than
    24 pixels along a side.
  """
  if min(*fake.shape[1:3], *real.shape[1:3]) < _LEAST:
    return None
  return grid_energy(fake) / grid_energy(real)
