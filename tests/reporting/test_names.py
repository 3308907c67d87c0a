import pytest

from gan_jax.reporting.names import in_words, named


@pytest.mark.parametrize(
  ('key', 'words'),
  [
    ('d_loss', "D's loss"),
    ('g_loss', "G's loss"),
    ('d_loss_a', "D's loss, domain a"),
    ('g_loss_a2b', "G's loss, a to b"),
    ('g_loss_adversarial', "G's adversarial loss"),
    ('d_r1', "D's R1 penalty"),
    ('g_l1', "G's L1 distance"),
    ('g_cycle_b', "G's cycle loss, domain b"),
    ('g_grad_norm', 'gradient norm of G'),
    ('d_win_rate_b', "D's win rate, domain b"),
    ('d_fake_logit', "D's logit of fake images"),
    ('samples_std', "samples' deviation over z"),
    ('validation_error', 'validation error'),
    ('validation_l1_b2a', 'validation L1 distance, b to a'),
    ('validation_grid_a2b', 'validation grid of upsampling, a to b'),
    ('validation_fid', 'validation FID'),
    ('validation_b2a_kid', 'validation KID, b to a'),
    ('test_class_fid', 'test FID, mean over classes'),
    ('test_class_fid_12', 'test FID, class 12'),
    ('validation_class_accuracy', 'validation class accuracy'),
    ('b2a', 'b to a'),
    ('step_seconds', 'seconds per step'),
    # Without a name of their own:
    ('d_odd_value', "D's odd value"),
    ('g_new', "G's new"),
    ('images_per_second', 'images per second'),
    ('loss', 'loss'),
    ('a_plain_b', 'a plain, domain b'),
    ('d_', "D's "),
    ('', ''),
    ('<b>\n_x', '<b>\n x'),
  ],
)
def test_keys_in_words(key, words):
  assert in_words(key) == words


def test_the_key_is_kept_and_escaped():
  assert named('d_loss') == '<span title="d_loss">D&#x27;s loss</span>'
  assert '<b>' not in named('<b>')
