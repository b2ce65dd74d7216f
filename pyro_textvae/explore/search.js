// Copyright Contributors to the pyro-textvae project.
// SPDX-License-Identifier: Apache-2.0
// Sentences that have the words one after the other; where none has, those that contain the text.
const most = 500;
const words = (text) => " " + (text.toLowerCase().match(/[\p{L}\p{N}'-]+/gu) ?? []).join(" ") + " ";
const asked = cb_obj.value.trim();
const texts = source.data.text;
let found = [];
if (asked !== "") {
  const wanted = words(asked);
  if (wanted.trim() !== "") found = [...texts.keys()].filter((i) => words(texts[i]).includes(wanted));
  if (found.length === 0) {
    const part = asked.toLowerCase();
    found = [...texts.keys()].filter((i) => texts[i].toLowerCase().includes(part));
  }
}
const alpha = new Float64Array(texts.length).fill(asked === "" ? ALPHA : FADED);
for (const i of found) alpha[i] = ALPHA;
source.data.alpha = alpha;
source.change.emit();
const escaped = (text) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
const row = (i) =>
  `<li><button class="pick" data-place="${i}"><span class="said">${escaped(texts[i])}</span></button></li>`;
const first = found.length > most ? `, of which the first ${most} are listed` : "";
const count = `${found.length} of ${texts.length} sentences${first}`;
hits.text = asked === "" ? "" : `<p>${count}</p><ul class="picks">${found.slice(0, most).map(row).join("")}</ul>`;
