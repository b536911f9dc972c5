// What scrolls is reached by keys, too.
addEventListener("DOMContentLoaded", () => {
  for (const each of document.querySelectorAll("article pre, article .table-wrapper")) each.tabIndex = 0;
});
