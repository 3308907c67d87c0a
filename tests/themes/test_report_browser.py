"""The report in a real browser, opened as a file, without a network."""

import importlib.util
import json
import shlex
import shutil

import pytest

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
DRIVER = shutil.which('chromedriver')
EVIL = '<img src=x onerror=document.title=1>'


@pytest.fixture(scope='module')
def browser():
  if not (BROWSER and DRIVER and importlib.util.find_spec('selenium')):
    pytest.skip('chromium, chromedriver or selenium is not installed')
  from selenium import webdriver

  options = webdriver.ChromeOptions()
  options.binary_location = BROWSER
  for argument in ('headless=new', 'no-sandbox', 'disable-dev-shm-usage',
                   'disable-gpu', 'window-size=1200,1600'):  # fmt: skip
    options.add_argument(f'--{argument}')
  logs = {'browser': 'ALL', 'performance': 'ALL'}
  options.set_capability('goog:loggingPrefs', logs)
  service = webdriver.ChromeService(executable_path=DRIVER)
  driver = webdriver.Chrome(options=options, service=service)
  yield driver
  driver.quit()


@pytest.fixture
def evil(trained, tmp_path):
  """A finished run whose directory's name contains markup."""
  return shutil.copytree(trained, tmp_path / EVIL)


def requests(browser):
  """Returns the requests since the last call, except for embedded data."""
  messages = (
    json.loads(entry['message'])['message']
    for entry in browser.get_log('performance')
  )
  urls = [
    message['params']['request']['url']
    for message in messages
    if message['method'] == 'Network.requestWillBeSent'
  ]
  return [url for url in urls if not url.startswith('data:')]


def shown(browser, selector):
  found = browser.find_elements('css selector', selector)
  return [x for x in found if x.is_displayed()]


def broken_pictures(browser):
  return browser.execute_script(
    'return [...document.images].filter(x => !(x.complete && x.naturalWidth))'
    '.length'
  )


@pytest.mark.slow
def test_a_report_works_by_itself(browser, command, evil):
  from selenium.webdriver.common.keys import Keys

  out = command('report', f'--workdir={evil}').stdout
  assert out.strip() == str(evil / 'report.html')
  requests(browser)
  page = (evil / 'report.html').as_uri()
  browser.get(page)

  (heading,) = shown(browser, 'h1')
  assert heading.text == f'{EVIL}: ssgan on random images like digits'
  assert browser.title == heading.text
  titles = [x.text for x in shown(browser, 'h2')]
  assert titles == [
    'Summary', 'Final numbers', 'Health', 'Samples over training', 'Curves',
    'Is it memorising?', 'Between samples', 'Mistakes', 'What ran',
  ]  # fmt: skip
  assert broken_pictures(browser) == 0

  (slider,) = shown(browser, 'input[type=range]')
  (frame,) = shown(browser, '.history figure')
  assert frame.text == 'step 8'
  seen = []
  for key in (Keys.HOME, *3 * [Keys.ARROW_RIGHT], Keys.HOME):
    slider.send_keys(key)
    (frame,) = shown(browser, '.history figure')
    picture = frame.find_element('tag name', 'img')
    seen.append((frame.text, picture.get_attribute('src')))
  steps = [text for text, _ in seen]
  assert steps == ['step 2', 'step 4', 'step 6', 'step 8', 'step 2']
  assert len({picture for _, picture in seen}) == 4
  assert seen[0] == seen[-1]

  assert browser.get_log('browser') == []
  assert requests(browser) == [page]


def box(browser, selector):
  """What a visible picture takes of the window, and the window's size."""
  return browser.execute_script(
    'const x = document.querySelector(arguments[0]).getBoundingClientRect();'
    'return [x.width, x.height, innerWidth, innerHeight]',
    selector,
  )


@pytest.mark.slow
def test_a_picture_is_enlarged_and_escape_closes_it(browser, command, evil):
  from selenium.webdriver.common.keys import Keys

  command('report', f'--workdir={evil}')
  browser.get((evil / 'report.html').as_uri())
  buttons = shown(browser, 'figure > button.enlarge')
  pictures = [x for x in shown(browser, 'figure img') if x.is_displayed()]
  assert len(buttons) == len(pictures) > 5
  assert shown(browser, 'dialog') == []
  focused = browser.switch_to.active_element
  real = 'img[alt="real images next to samples"]'
  (picture,) = shown(browser, real)
  button = picture.find_element('xpath', '..')
  before = box(browser, real)
  for key in (Keys.ENTER, Keys.SPACE):  # no mouse is needed
    button.send_keys(key)
    (large,) = shown(browser, 'dialog img')
    source = picture.get_attribute('src')
    assert large.get_attribute('src') == source
    width, height, all_width, all_height = box(browser, 'dialog img')
    assert before[0] < width <= all_width
    assert height <= all_height
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert shown(browser, 'dialog') == []
    assert browser.switch_to.active_element == button != focused
  button.click()
  (close,) = shown(browser, 'dialog button')
  close.click()
  assert shown(browser, 'dialog') == []


@pytest.mark.slow
def test_the_command_is_copied(browser, command, evil):
  command('report', f'--workdir={evil}', '--noinsights')
  browser.get((evil / 'report.html').as_uri())
  code = browser.find_element('css selector', 'header .command code').text
  (button,) = shown(browser, 'header .command button')
  assert shlex.split(code)[-1] == f'--workdir={evil}-again'
  browser.execute_script(
    'Object.defineProperty(navigator, "clipboard", {configurable: true, value: '
    '{writeText: async text => { window.copied = text; }}})'
  )
  button.click()
  assert browser.execute_script('return window.copied') == code
  assert button.text == 'copied'
  browser.execute_script(
    'Object.defineProperty(navigator, "clipboard", {value: undefined})'
  )
  button.click()
  assert button.text == 'selected'
  assert browser.execute_script('return String(getSelection())') == code


@pytest.mark.slow
@pytest.mark.parametrize('look', ['--insights', '--noinsights'])
def test_a_phone_scrolls_one_way_only(browser, command, evil, look):
  command('report', f'--workdir={evil}', look)
  phone = {'width': 400, 'height': 900, 'deviceScaleFactor': 1, 'mobile': False}
  browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', phone)
  browser.get((evil / 'report.html').as_uri())
  assert browser.execute_script('return window.innerWidth') == 400
  too_wide = browser.execute_script(
    'return document.documentElement.scrollWidth - window.innerWidth'
  )
  browser.execute_cdp_cmd('Emulation.clearDeviceMetricsOverride', {})
  assert too_wide <= 0


@pytest.mark.slow
def test_runs_side_by_side_work_by_themselves(
  browser, command, trained, evil, tmp_path
):
  output = tmp_path / 'compare.html'
  command('report', trained, evil, f'--output={output}')
  requests(browser)
  browser.get(output.as_uri())
  heads = [x.text for x in shown(browser, '#all thead th')]
  assert heads == ['', trained.name, EVIL]
  assert [x.text for x in shown(browser, '.legend')] == heads[1:]
  assert broken_pictures(browser) == 0
  assert browser.get_log('browser') == []
  assert requests(browser) == [output.as_uri()]


@pytest.mark.slow
def test_a_script_that_is_not_the_pages_own_is_not_run(browser, command, evil):
  """The content security policy protects if escaping ever fails."""
  command('report', f'--workdir={evil}', '--noinsights')
  page = evil / 'report.html'
  alive = (
    '<script>document.title = "alive"</script><img src="http://127.0.0.1">'
  )
  page.write_text(page.read_text().replace('<main>', f'<main>{alive}'))
  browser.get_log('browser')
  browser.get(page.as_uri())
  assert browser.title.startswith(EVIL)
  said = [entry['message'] for entry in browser.get_log('browser')]
  assert len(said) == 2
  assert all('Content Security Policy' in message for message in said)
  assert any('127.0.0.1' in message for message in said)
