# Finds Arrow's libarrow and libparquet in the pyarrow package and makes the target Arrow::parquet.
#
# Debian 12 has no libparquet; the wheel of pyarrow carries both libraries with their headers, as torch's does LibTorch. Only
# the plugin that reads Parquet files links them (src/data/parquet_plugin.h).
#
# Input:  PIXART_ARROW (cache or environment): the folder pyarrow of such a package, with include/ and libarrow.so.*;
#         otherwise that of .deps/venv
# Output: Arrow_FOUND, Arrow_VERSION, Arrow_ROOT, target Arrow::parquet
file(GLOB _local "${PROJECT_SOURCE_DIR}/.deps/venv/lib/python3*/site-packages/pyarrow")
find_path(Arrow_ROOT NAMES include/parquet/column_reader.h HINTS "${PIXART_ARROW}" "$ENV{PIXART_ARROW}" ${_local} NO_DEFAULT_PATH)
if(Arrow_ROOT)
  file(STRINGS "${Arrow_ROOT}/include/arrow/util/config.h" _line REGEX "define ARROW_VERSION_STRING ")
  string(REGEX REPLACE ".*\"([0-9.]+).*" "\\1" Arrow_VERSION "${_line}")
  file(GLOB Arrow_LIBRARY "${Arrow_ROOT}/libarrow.so.*00")
  file(GLOB Arrow_parquet_LIBRARY "${Arrow_ROOT}/libparquet.so.*00")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Arrow REQUIRED_VARS Arrow_ROOT Arrow_LIBRARY Arrow_parquet_LIBRARY VERSION_VAR Arrow_VERSION
  REASON_FAILURE_MESSAGE "sources of type parquet are not read. Run scripts/setup.sh, or set PIXART_ARROW to the folder of pyarrow")
if(Arrow_FOUND AND NOT TARGET Arrow::parquet)
  add_library(Arrow::parquet INTERFACE IMPORTED)
  target_include_directories(Arrow::parquet SYSTEM INTERFACE "${Arrow_ROOT}/include")
  target_link_libraries(Arrow::parquet INTERFACE "${Arrow_parquet_LIBRARY}" "${Arrow_LIBRARY}")
endif()
