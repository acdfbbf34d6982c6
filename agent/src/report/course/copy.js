// Buttons that copy the command beside them, and what only a script can do.
(() => {
  "use strict";
  for (const it of document.querySelectorAll(".needs-script[hidden]")) {
    if (!it.closest(".player")) it.hidden = false;
  }

  // Where there is no clipboard to write to, the command is selected and copied as by hand.
  async function copy(code) {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      return document.execCommand("copy");
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest('[data-do="copy"]');
    if (!button) return;
    const copied = await copy(button.parentElement.querySelector("code"));
    button.textContent = copied ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
})();
