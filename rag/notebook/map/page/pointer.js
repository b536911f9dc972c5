// What pointer and keys do on the canvas: move, zoom, draw a lasso, point at a chunk.

function pointing(canvas, view, actions) {
  let drag = null;
  let lasso = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (event.shiftKey || actions.lassoing()) lasso = [at(event)];
    else drag = at(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [px, py] = at(event);
    if (lasso) {
      const last = lasso[lasso.length - 1];
      if (Math.hypot(px - last[0], py - last[1]) > 3 && lasso.length < 1900) lasso.push([px, py]);
      actions.lasso(lasso);
    } else if (drag) {
      view.x -= (px - drag[0]) / view.scale;
      view.y += (py - drag[1]) / view.scale;
      drag = [px, py];
      actions.moved();
    } else actions.point(px, py);
  });
  const up = () => {
    if (lasso) actions.selected(lasso.length > 2 ? lasso : null);
    lasso = drag = null;
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", () => { lasso = drag = null; actions.lasso(null); });
  canvas.addEventListener("pointerleave", () => { if (!drag && !lasso) actions.left(); });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    view.zoom(Math.exp(-event.deltaY / 500), ...at(event));
    actions.moved();
  }, { passive: false });
  // Arrows move the map below its middle, which is what is pointed at; Enter selects what can be seen.
  canvas.addEventListener("keydown", (event) => {
    const step = 24 / view.scale;
    const keys = {
      ArrowLeft: () => { view.x -= step; }, ArrowRight: () => { view.x += step; },
      ArrowUp: () => { view.y += step; }, ArrowDown: () => { view.y -= step; },
      "+": () => view.zoom(1.25, view.width / 2, view.height / 2), "-": () => view.zoom(0.8, view.width / 2, view.height / 2),
      Home: () => view.fit(),
    };
    if (keys[event.key]) {
      keys[event.key]();
      actions.moved();
      actions.middle();
    } else if (event.key === "Enter") {
      const { width, height } = view;
      actions.selected([[0, 0], [width, 0], [width, height], [0, height]]);
    } else if (event.key === "Escape") actions.selected(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
