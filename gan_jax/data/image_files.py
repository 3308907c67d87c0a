"""Image files: which ones a folder holds, and their pixels as arrays."""

import contextlib
import dataclasses
import hashlib
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import NamedTuple, NoReturn, Protocol

import numpy as np
from PIL import ExifTags, Image, ImageOps
from tqdm import tqdm

from gan_jax.config import key, one_of
from gan_jax.core.errors import InputError, enumeration

_EXTENSIONS = ('png', 'jpg', 'jpeg', 'webp', 'bmp', 'tif', 'tiff', 'gif')
# Whatever a file's name says, no other reader of Pillow's sees it: the one of
# EPS, for example, starts a program.
_FORMATS = ('PNG', 'JPEG', 'WEBP', 'BMP', 'TIFF', 'GIF')
_LITTER = ('thumbs.db', 'desktop.ini', '__macosx')


def list_folder(folder: pathlib.Path) -> list[pathlib.Path]:
  """A folder's entries by name, less what operating systems leave there."""
  entries = [
    path
    for path in folder.iterdir()
    if not path.name.startswith('.') and path.name.lower() not in _LITTER
  ]
  return sorted(entries, key=lambda path: path.name)


def find_images(folder: pathlib.Path) -> list[pathlib.Path]:
  """The image files directly in a folder, in the order of their names.

  Other files are passed over, with a note.

  Raises:
    InputError: no such folder, or one that holds a folder, or no file with an
      image's extension; hidden ones do not count.
  """
  if not folder.is_dir():
    raise InputError(f'there is no folder {folder}; make it, for images')
  paths = list_folder(folder)
  for path in paths:
    if path.is_dir():
      raise InputError(
        f'{path} is a folder where only images should be; move it away'
      )
  return select_images(folder, paths)


def select_images(
  folder: pathlib.Path, paths: Sequence[pathlib.Path]
) -> list[pathlib.Path]:
  """Selects the image files among those in a folder; a note names the others.

  Raises:
    InputError: there are none.
  """
  images = [path for path in paths if is_image(path)]
  others = [str(x.relative_to(folder)) for x in paths if not is_image(x)]
  if not images:
    only = f', only {enumeration(others)}' if others else ''
    raise InputError(
      f'{folder} holds no images ({", ".join(_EXTENSIONS)}){only}; put some '
      'into it, and unpack archives first'
    )
  if others:
    print(
      f'note: passed over in {folder}, as no images: {enumeration(others)}',
      file=sys.stderr,
    )
  return images


def is_image(path: pathlib.Path) -> bool:
  """Tells whether a file has an image's extension."""
  return path.suffix.lower()[1:] in _EXTENSIONS


def _from_16_bits(image: Image.Image) -> Image.Image:
  """Gray 0..65535 as 0..255, where Pillow's own conversion would clip."""
  values = np.asarray(image).astype(np.int32)
  if values.min() < 0 or values.max() > 65535:
    raise ValueError(
      f'its pixels range over {values.min()}..{values.max()}, not 0..65535'
    )
  return Image.fromarray(np.uint8((values + 128) // 257))


def _over_white(image: Image.Image) -> Image.Image:
  white = Image.new('RGBA', image.size, 'white')
  return Image.alpha_composite(white, image.convert('RGBA'))


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[Image.Image]:
  """An image file whose pixels are not read yet.

  Raises:
    InputError: a file that cannot be read or has more pixels than Pillow's
      limit; also for what goes wrong in the body of the with statement.
  """
  try:
    if path.exists() and not path.is_file():
      raise ValueError('it is no regular file')  # a pipe would be waited for
    with Image.open(path, formats=_FORMATS) as image:
      limit = Image.MAX_IMAGE_PIXELS
      # Pillow itself only warns, up to twice the limit.
      if limit is not None and image.width * image.height > limit:
        raise Image.DecompressionBombError
      yield image
  except (Image.DecompressionBombError, Image.DecompressionBombWarning):
    raise InputError(
      f'{path} has more pixels than the limit of {Image.MAX_IMAGE_PIXELS}, as '
      'decompression bombs do; shrink or remove it'
    ) from None
  except Exception as error:  # a broken file can raise nearly anything
    reason = ' '.join(str(error).split())
    raise InputError(
      f'cannot read {path}: {reason}; replace it by a whole PNG or JPEG of 8 '
      'bits, or remove it'
    ) from error


def image_size(path: pathlib.Path) -> tuple[int, int]:
  """Height and width of an image file as one sees it, without its pixels.

  Raises:
    InputError: as `read_image`.
  """
  with _opened(path) as image:
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    if image.format == 'TIFF':  # of which Pillow turns the size itself
      turned = False
    return image.size if turned else image.size[::-1]


def read_image(
  path: pathlib.Path, channels: int, half: str | None = None
) -> np.ndarray:
  """The pixels of an image file as one sees them.

  It is turned as its EXIF data say, and laid over white where it is
  transparent. Of an animation the first frame is read.

  Args:
    path: the file.
    channels: 1 for gray, 3 for RGB.
    half: 'left' or 'right' of two pictures side by side; None for all.

  Returns:
    uint8 [H, W, channels].

  Raises:
    InputError: a file that cannot be read or has more pixels than Pillow's
      limit; halves of an odd width.
  """
  with _opened(path) as image:
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == 'F':
      raise ValueError('its pixels are floats, of a range that it does not say')
    if image.mode.startswith('I'):
      image = _from_16_bits(image)
    elif image.has_transparency_data:
      image = _over_white(image)
    pixels = np.array(image.convert('L' if channels == 1 else 'RGB'))
  height, width = pixels.shape[:2]
  pixels = pixels.reshape(height, width, channels)
  if half is None:
    return pixels
  if width % 2:
    raise InputError(
      f'{path} is {width} pixels wide, so that it has no two halves; two '
      'pictures side by side must be equally wide'
    )
  return pixels[:, : width // 2] if half == 'left' else pixels[:, width // 2 :]


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """An image, uint8 [H, W, 1 or 3], of another size [H', W'].

  Bicubic, smoothed first where it shrinks.
  """
  channels = image.shape[-1]
  picture = Image.fromarray(image[..., 0] if channels == 1 else image)
  picture = picture.resize(size[::-1], Image.Resampling.BICUBIC)
  return np.array(picture).reshape(*size, channels)


def map_in_threads(function: Callable, items: Sequence, desc: str) -> Iterator:
  """`map`, many items at a time, with a progress bar on a terminal."""
  with futures.ThreadPoolExecutor() as pool:
    yield from tqdm(
      pool.map(function, items),
      desc=desc,
      total=len(items),
      disable=not sys.stderr.isatty(),
    )


class Source(Protocol):
  """Source of images: files in a folder, or the records of a data set."""

  def __len__(self) -> int: ...

  def take(self, rows: Iterable[int]) -> 'Source':
    """Only these, in this order."""
    ...

  def name(self, index: int) -> str:
    """The name of one image in messages."""
    ...

  def read(self, index: int, channels: int) -> np.ndarray:
    """One image, uint8 [H, W, channels]; InputError if it is broken."""
    ...

  def sha256(self) -> str:
    """Hashes all of them, in their order."""
    ...


@dataclasses.dataclass(frozen=True)
class Pictures:
  """Image files, of which all or only one half is meant."""

  paths: tuple[pathlib.Path, ...]
  half: str | None = None  # 'left' or 'right'

  def __len__(self) -> int:
    return len(self.paths)

  def take(self, rows: Iterable[int]) -> 'Pictures':
    return Pictures(tuple(self.paths[i] for i in rows), self.half)

  def name(self, index: int) -> str:
    return str(self.paths[index])

  def read(self, index: int, channels: int) -> np.ndarray:
    return read_image(self.paths[index], channels, self.half)

  def sha256(self) -> str:
    """Hashes the files' bytes in order, and the half; names do not count."""
    digest = hashlib.sha256(str(self.half).encode())
    for part in map_in_threads(_file_sha256, self.paths, 'hashing images'):
      digest.update(part)
    return digest.hexdigest()


def _file_sha256(path: pathlib.Path) -> bytes:
  try:
    with open(path, 'rb') as file:
      return hashlib.file_digest(file, 'sha256').digest()
  except OSError as error:
    raise InputError(
      f'cannot read {path}: {error.strerror}; put it back'
    ) from error


ON_BAD_FILE = key(
  'stop',
  one_of('stop', 'skip'),
  'what becomes of a folder whose files cannot all be read; skipped ones are '
  'counted in data.json',
  since=4,
)


class Scan(NamedTuple):
  """Sizes of the images of a source, and why some cannot be read."""

  sizes: list[tuple[int, int] | None]
  bad: dict[int, str]  # by their place


def scan(source: Source, channels: int) -> Scan:
  """Reads all images once and keeps none."""

  def one(index):
    try:
      return source.read(index, channels).shape[:2], None
    except InputError as error:
      return None, str(error)

  found = list(map_in_threads(one, range(len(source)), 'checking images'))
  return Scan(
    [size for size, _ in found],
    {i: reason for i, (_, reason) in enumerate(found) if reason is not None},
  )


def note_skipped(reasons: Iterable[str]) -> None:
  """Prints a note that names the files that are skipped, and why."""
  for reason in dict.fromkeys(reasons):
    print(f'note: skipped, {reason.partition("; ")[0]}', file=sys.stderr)


def refuse_bad(reasons: Iterable[str], total: int) -> NoReturn:
  """Raises InputError for files that cannot be read, all of them by name.

  Args:
    reasons: why, each as the message of reading that file.
    total: files that there are.
  """
  reasons = list(dict.fromkeys(reasons))
  if len(reasons) == 1:
    raise InputError(f'{reasons[0]}, or set config.data.on_bad_file to skip')
  # Without the remedies, which are the same for all.
  named = '; '.join(reason.partition('; ')[0] for reason in reasons[:50])
  more = f'; and {len(reasons) - 50} more' if len(reasons) > 50 else ''
  raise InputError(
    f'{len(reasons)} of {total} files are no whole images: {named}{more}; '
    'replace or remove them, or set config.data.on_bad_file to skip'
  )


@dataclasses.dataclass(frozen=True)
class StoredImages:
  """A sequence of images that are read each time they are asked for.

  Args:
    source: of the images, each of a size of its own.
    size: H, W to which each is resized; None: each keeps a size of its own.
    channels: C, 1 for gray, 3 for RGB.
    prepare: what is done to each that is read, if not resizing it to `size`;
      the result has that size.
    pixels: all of them, where they are kept in memory.
  """

  source: Source
  size: tuple[int, int] | None
  channels: int
  prepare: Callable[[np.ndarray], np.ndarray] | None = None
  pixels: Sequence[np.ndarray] | None = dataclasses.field(
    default=None, repr=False, compare=False
  )

  def __len__(self) -> int:
    return len(self.source)

  def __getitem__(self, index: int) -> np.ndarray:
    """Image `index`, uint8 [H, W, C]."""
    if self.pixels is not None:
      return self.pixels[index]
    image = self.source.read(index, self.channels)
    if self.prepare is not None:
      return self.prepare(image)
    return resize(image, self.size)

  @property
  def shape(self) -> tuple[int, int | None, int | None, int]:
    return len(self), *(self.size or (None, None)), self.channels

  def kept(self) -> 'StoredImages':
    """The same images, read once and kept in memory."""
    read = map_in_threads(self.__getitem__, range(len(self)), 'reading images')
    if self.size is None:
      return dataclasses.replace(self, pixels=list(read))
    images = np.empty(self.shape, np.uint8)
    for i, image in enumerate(read):
      images[i] = image
    return dataclasses.replace(self, pixels=images)
