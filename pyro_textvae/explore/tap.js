// Copyright Contributors to the pyro-textvae project.
// SPDX-License-Identifier: Apache-2.0
// Of the points under the pointer the nearest is chosen.
const { geometries, source } = cb_data;
const hit = source.inspected.indices;
if (hit.length > 0) {
  const { x, y } = geometries;
  const far = (i) => (source.data.x[i] - x) ** 2 + (source.data.y[i] - y) ** 2;
  let nearest = hit[0];
  for (const i of hit) if (far(i) < far(nearest)) nearest = i;
  source.selected.indices = [nearest];
}
