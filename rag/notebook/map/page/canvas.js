// Points on a canvas: drawn as pixels, 100,000 in a few milliseconds, with a grid to find the nearest.

const GRID = 256;

function grid(xy, least, most) {
  const count = xy.length / 2;
  const cell = (value, axis) => Math.min(GRID - 1, Math.max(0, Math.floor(((value - least[axis]) / (most[axis] - least[axis] || 1)) * GRID)));
  const starts = new Uint32Array(GRID * GRID + 1);
  const cells = new Uint32Array(count);
  for (let n = 0; n < count; n += 1) {
    cells[n] = cell(xy[2 * n + 1], 1) * GRID + cell(xy[2 * n], 0);
    starts[cells[n] + 1] += 1;
  }
  for (let n = 0; n < GRID * GRID; n += 1) starts[n + 1] += starts[n];
  const next = starts.slice();
  const order = new Uint32Array(count);
  for (let n = 0; n < count; n += 1) order[next[cells[n]]++] = n;
  // The point nearest to (x, y) within a distance, or -1.
  return (x, y, reach) => {
    let best = -1;
    let nearest = reach * reach;
    const [left, right, low, high] = [cell(x - reach, 0), cell(x + reach, 0), cell(y - reach, 1), cell(y + reach, 1)];
    for (let row = low; row <= high; row += 1)
      for (let at = starts[row * GRID + left]; at < starts[row * GRID + right + 1]; at += 1) {
        const n = order[at];
        const distance = (xy[2 * n] - x) ** 2 + (xy[2 * n + 1] - y) ** 2;
        if (distance <= nearest) [best, nearest] = [n, distance];
      }
    return best;
  };
}

// What part of the plane the canvas shows; both axes have the same scale.
function viewOf(least, most) {
  const view = { x: 0, y: 0, scale: 1, width: 1, height: 1 };
  const fit = () => {
    view.x = (least[0] + most[0]) / 2;
    view.y = (least[1] + most[1]) / 2;
    view.scale = 0.94 * Math.min(view.width / (most[0] - least[0] || 1), view.height / (most[1] - least[1] || 1));
  };
  return Object.assign(view, {
    fit,
    toPixel: (x, y) => [view.width / 2 + (x - view.x) * view.scale, view.height / 2 - (y - view.y) * view.scale],
    toPlane: (px, py) => [view.x + (px - view.width / 2) / view.scale, view.y - (py - view.height / 2) / view.scale],
    zoom(factor, px, py) {
      const [x, y] = view.toPlane(px, py);
      view.scale *= factor;
      view.x = x - (px - view.width / 2) / view.scale;
      view.y = y + (py - view.height / 2) / view.scale;
    },
  });
}

// Fills the canvas with all points; `bright` (or null) says which are selected: the others are pale.
function drawPoints(canvas, view, xy, codes, colours, bright) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const ratio = width / view.width;
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const count = codes.length;
  const size = Math.max(2, Math.round(ratio * (count > 40000 ? 2 : count > 8000 ? 3 : 4)));
  const [cx, cy, scale] = [width / 2, height / 2, view.scale * ratio];
  const put = (n, colour) => {
    const left = Math.round(cx + (xy[2 * n] - view.x) * scale - size / 2);
    const top = Math.round(cy - (xy[2 * n + 1] - view.y) * scale - size / 2);
    if (left < 0 || top < 0 || left + size > width || top + size > height) return;
    for (let row = 0; row < size; row += 1)
      for (let column = 0; column < size; column += 1) {
        const corner = size > 2 && (row === 0 || row === size - 1) && (column === 0 || column === size - 1);
        if (!corner) pixels[(top + row) * width + left + column] = colour;
      }
  };
  const pale = (colour) => ((colour & 0x00ffffff) | 0x38000000) >>> 0;
  for (let n = 0; n < count; n += 1) if (!bright || !bright[n]) put(n, bright ? pale(colours[codes[n]]) : colours[codes[n]]);
  if (bright) for (let n = 0; n < count; n += 1) if (bright[n]) put(n, colours[codes[n]]);
  context.putImageData(image, 0, 0);
}

// "rgb(1, 2, 3)" as the number that a pixel is.
function pixelOf(colour) {
  const [r, g, b] = colour.match(/[\d.]+/g).map(Number);
  return ((255 << 24) | (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r)) >>> 0;
}
