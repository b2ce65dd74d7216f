// Copyright Contributors to the pyro-textvae project.
// SPDX-License-Identifier: Apache-2.0
const chosen = source.selected.indices;
ring.data = { x: chosen.map((i) => source.data.x[i]), y: chosen.map((i) => source.data.y[i]) };
