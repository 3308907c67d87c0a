'use strict';

// A slider shows one of the pictures below it.
for (const history of document.querySelectorAll('.history')) {
  const slider = history.querySelector('input');
  const frames = history.querySelectorAll('figure');
  slider.addEventListener('input', () => {
    frames.forEach((frame, i) => {
      frame.hidden = i !== Number(slider.value);
    });
  });
}

// A button copies the command before it, or selects it where that is forbidden.
for (const button of document.querySelectorAll('.command button')) {
  const code = button.previousElementSibling;
  button.hidden = false;
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = 'copied';
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = 'selected';
    }
  });
}

// A picture is a button that opens it as large as the window; Escape, or a
// click, closes it.
const dialog = document.body.appendChild(document.createElement('dialog'));
dialog.addEventListener('click', () => dialog.close());
for (const picture of document.querySelectorAll('figure > img')) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'enlarge';
  button.title = 'enlarge';
  picture.replaceWith(button);
  button.append(picture);
  button.addEventListener('click', () => {
    const large = picture.cloneNode();
    const close = document.createElement('button');
    close.textContent = 'close';
    dialog.replaceChildren(large, close);
    dialog.showModal();
  });
}
