"""Metrics in words: what panels, legends and tables of numbers call them."""

import re

from gan_jax.reporting.html import Html, element

_OWNERS = {
  'd': "D's",
  'g': "G's",
  'validation': 'validation',
  'test': 'test',
  'samples': "samples'",
}
# What is not simply the key with spaces for underscores.
_WORDS = {
  'loss_adversarial': 'adversarial loss',
  'loss_supervised': 'supervised loss',
  'loss_real_fake': 'real-or-fake loss',
  'cycle': 'cycle loss',
  'identity': 'identity loss',
  'nce': 'PatchNCE loss',
  'nce_identity': 'PatchNCE loss of the identity',
  'l1': 'L1 distance',
  'r1': 'R1 penalty',
  'r2': 'R2 penalty',
  'gp': 'gradient penalty',
  'lecam': 'LeCam penalty',
  'real_logit': 'logit of real images',
  'fake_logit': 'logit of fake images',
  'real_probability': 'probability that real images are real',
  'fake_probability': 'probability that fake images are real',
  'grid': 'grid of upsampling',
  'std': 'deviation over z',
  'fid': 'FID',
  'kid': 'KID',
  'kid_std': 'KID, deviation over subsets',
  'kid_subset_size': 'KID, images in a subset',
  'score': 'classifier score',
  'real_score': 'classifier score of real images',
  'num_modes': 'modes that samples reach',
  'modes_kl': 'KL divergence between modes',
  'real_class_accuracy': 'class accuracy of real images',
  'n_real': 'real images compared',
  'n_fake': 'fake images compared',
}
_WHOLE = {
  'd_grad_norm': 'gradient norm of D',
  'g_grad_norm': 'gradient norm of G',
  'step_seconds': 'seconds per step',
  'epoch_seconds': 'seconds per epoch',
  'labelled_accuracy': 'accuracy on the labels kept',
  'num_labels': 'labels kept',
  'num_test': 'test images',
}
_WAYS = {'a2b': 'a to b', 'b2a': 'b to a', 'a': 'domain a', 'b': 'domain b'}
_KEY = re.compile(
  r'(?:(?P<owner>d|g|validation|test|samples)_)?'
  r'(?:(?P<before>a2b|b2a)_)?'
  r'(?P<rest>.*?)'
  r'(?:_(?P<after>a2b|b2a|a|b))?',
  re.DOTALL,
)
_OF_CLASS = re.compile(r'class_(fid|kid|kid_std)(?:_(\d+))?')


def in_words(key: str) -> str:
  """A metric's key in words, e.g. 'd_loss' as "D's loss".

  A key without a name of its own is read as it is written: underscores are
  spaces, a leading d_ or g_ is D's or G's.
  """
  if key in _WHOLE:
    return _WHOLE[key]
  if key in _WAYS:
    return _WAYS[key]
  match = _KEY.fullmatch(key)
  rest, place = match['rest'], ''
  if of_class := _OF_CLASS.fullmatch(rest):
    rest = of_class[1]
    place = f', class {of_class[2]}' if of_class[2] else ', mean over classes'
  way = match['before'] or match['after']
  if way:
    place += f', {_WAYS[way]}'
  owner = _OWNERS[match['owner']] + ' ' if match['owner'] else ''
  return f'{owner}{_WORDS.get(rest, rest.replace("_", " "))}{place}'


def named(key: str) -> Html:
  """A metric in words, whose key is shown where the pointer rests."""
  return element('span', in_words(key), title=key)
