// The pickle machine: the opcodes that torch.save emits, protocols 2 to 5, and no others.
#pragma once
#include "pickle_bytes.h"
#include "pickle_graph.h"

namespace pixart::formats {

// Reads one pickle; `bytes` is then at its end. Persistent ids, which name storages, are refused unless
// `with_storages` is true. Throws UserError naming file, offset and reason.
PickleGraph read_pickle(PickleBytes& bytes, bool with_storages);

}  // namespace pixart::formats
