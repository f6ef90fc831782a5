// Tables that the theme lets scroll can be reached, and so scrolled, by keyboard.
document$.subscribe(() => {
  for (const area of document.querySelectorAll(".md-typeset__scrollwrap")) area.tabIndex = 0;
});
