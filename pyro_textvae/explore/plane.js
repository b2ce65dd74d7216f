// Copyright Contributors to the pyro-textvae project.
// SPDX-License-Identifier: Apache-2.0
// A map that is made already; of the others the server sends the points.
const name = cb_obj.value;
const place = notes.data.name.indexOf(name);
if (place >= 0) {
  source.data.x = source.data["x_" + name].slice();
  source.data.y = source.data["y_" + name].slice();
  for (const range of [map.x_range, map.y_range]) range.have_updated_interactively = false;
  source.change.emit();
  note.text = notes.data.html[place];
} else {
  note.text = "This map is being made. It takes some seconds for a thousand sentences.";
}
