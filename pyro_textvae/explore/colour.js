// Copyright Contributors to the pyro-textvae project.
// SPDX-License-Identifier: Apache-2.0
source.data.colour = source.data["colour_" + cb_obj.value].slice();
source.change.emit();
legend.text = legends.data.html[legends.data.name.indexOf(cb_obj.value)];
