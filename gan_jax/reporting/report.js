'use strict';

// A slider shows one of the pictures beside it.
for (const history of document.querySelectorAll('.history')) {
  const slider = history.querySelector('input');
  const frames = history.querySelectorAll('figure');
  slider.addEventListener('input', () => {
    frames.forEach((frame, i) => {
      frame.hidden = i !== Number(slider.value);
    });
  });
}
