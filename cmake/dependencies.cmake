# Every third-party library, found once and given a target. Debian 12 package names are in scripts/setup.sh.
# Also installed: find_package(pixart) includes it, so that users of the package get the same libraries.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(PNG REQUIRED)
find_package(GIF 5.1 REQUIRED)
find_package(CURL REQUIRED)
find_package(SQLite3 REQUIRED)
pkg_check_modules(cpp-httplib REQUIRED IMPORTED_TARGET GLOBAL cpp-httplib<0.15)  # of `pixart study serve`; later ones have another class Stream
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(yaml-cpp REQUIRED)
if(NOT TARGET yaml-cpp::yaml-cpp)
  add_library(yaml-cpp::yaml-cpp INTERFACE IMPORTED)
  target_link_libraries(yaml-cpp::yaml-cpp INTERFACE yaml-cpp)
endif()
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(SentencePiece REQUIRED IMPORTED_TARGET GLOBAL sentencepiece)
pkg_check_modules(TurboJPEG REQUIRED IMPORTED_TARGET GLOBAL libturbojpeg)
pkg_check_modules(JPEG REQUIRED IMPORTED_TARGET GLOBAL libjpeg)  # TurboJPEG keeps only the last of several warnings
pkg_check_modules(WebP REQUIRED IMPORTED_TARGET GLOBAL libwebp libwebpdemux)
pkg_check_modules(TIFF REQUIRED IMPORTED_TARGET GLOBAL libtiff-4>=4.5)  # the first with limits and handlers of a file
pkg_check_modules(AVIF REQUIRED IMPORTED_TARGET GLOBAL libavif>=0.11)
pkg_check_modules(Deflate REQUIRED IMPORTED_TARGET GLOBAL libdeflate)  # CRC-32 at memory speed; zlib takes 1.3 s a GB
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET GLOBAL libpcre2-8)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET GLOBAL libutf8proc)

# OpenCV: core and imgproc only (imgcodecs drags GDAL, HDF5 and two databases into the process).
find_path(OpenCV_INCLUDE_DIR opencv2/imgproc.hpp PATH_SUFFIXES opencv4 REQUIRED)
find_library(OpenCV_core_LIBRARY opencv_core REQUIRED)
find_library(OpenCV_imgproc_LIBRARY opencv_imgproc REQUIRED)
if(NOT TARGET OpenCV::imgproc)
  add_library(OpenCV::imgproc INTERFACE IMPORTED)
  target_include_directories(OpenCV::imgproc SYSTEM INTERFACE "${OpenCV_INCLUDE_DIR}")
  target_link_libraries(OpenCV::imgproc INTERFACE "${OpenCV_imgproc_LIBRARY}" "${OpenCV_core_LIBRARY}")
endif()

include("${CMAKE_CURRENT_LIST_DIR}/libtorch.cmake")

if(PIXART_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()
