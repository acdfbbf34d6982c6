// What printing needs where a browser prints nothing that is closed.
(() => {
  "use strict";
  // For paper everything is opened, and closed again as it was.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const it of opened) it.open = true;
  });
  addEventListener("afterprint", () => { for (const it of opened) it.open = false; });
})();
