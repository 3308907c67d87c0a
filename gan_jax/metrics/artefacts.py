"""Artefacts of upsampling: the grid that transposed convolutions leave."""

import numpy as np

_PERIOD = 4  # pixels: what two layers of stride 2 leave repeats after so many
_NEAR = (2, 4)  # bins away from such a frequency, what it is compared with
_LEAST = 24  # pixels along a side


def grid_energy(images: np.ndarray) -> float:
  r"""Energy at the frequencies of stride-2 layers relative to that around them.

  .. math:: \frac1{|F|} \sum_{f \in F}
            \frac{\sum_x P_x(f)}{\sum_x \overline{P_x}(\text{near } f)}

  P_x is the power spectrum of image x in gray, of its fluctuation around its
  mean, with Hann's window. F are the multiples of 1/4 per pixel in both
  directions but 0, where a pattern of period 2 or 4 has its energy. Near are
  the frequencies 2 to 4 bins away, so that blur, contrast and size hardly
  matter. Where nothing repeats it is about 1.

  Args:
    images: [N, H, W, C], of any range, H and W at least 24.

  Raises:
    ValueError: smaller images, or another shape.

  References:
    Odena et al. 2016, https://doi.org/10.23915/distill.00003, on the artefact.

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
  """`grid_energy` of generated images relative to that of real ones.

  1 where they have as much of a grid as real images.

  Args:
    fake: [N, H, W, C], generated, in the range of
    real: [M, H', W', C'].

  Returns:
    The ratio; None for images of less than 24 pixels along a side.
  """
  if min(*fake.shape[1:3], *real.shape[1:3]) < _LEAST:
    return None
  return grid_energy(fake) / grid_energy(real)
