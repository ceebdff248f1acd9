# cmake --install: the command, the libraries and headers, and a package for find_package(pixart).
# tests/meta/install_example.sh builds a program against the result.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/pixart")

get_property(_modules GLOBAL PROPERTY PIXART_MODULES)
list(TRANSFORM _modules PREPEND pixart_ OUTPUT_VARIABLE _libraries)
foreach(_library IN LISTS _libraries)
  target_compile_features(${_library} INTERFACE cxx_std_20)
  # In the build CMake adds the CUDA runtime by itself; users of the package need not enable the language CUDA.
  get_target_property(_sources ${_library} SOURCES)
  if(_sources MATCHES "\\.cu(;|$)")
    target_link_libraries(${_library} PRIVATE $<INSTALL_INTERFACE:CUDA::cudart_static>)
  endif()
endforeach()
install(TARGETS ${_libraries} EXPORT pixartTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(EXPORT pixartTargets NAMESPACE pixart:: DESTINATION "${_package_dir}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/pixart" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/pixartConfig.cmake.in" "${PROJECT_BINARY_DIR}/pixartConfig.cmake"
  INSTALL_DESTINATION "${_package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/pixartConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/pixartConfig.cmake" "${PROJECT_BINARY_DIR}/pixartConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/dependencies.cmake" "${PROJECT_SOURCE_DIR}/cmake/libtorch.cmake" "${PROJECT_SOURCE_DIR}/cmake/FindLibTorch.cmake"
  DESTINATION "${_package_dir}")

# The installed command finds LibTorch where the build found it (INSTALL_RPATH_USE_LINK_PATH would leave out .deps/,
# which lies inside the project).
file(RELATIVE_PATH _to_libraries "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBDIR}")
# It finds the plugin for Parquet files in the folder of libraries.
set_target_properties(pixart PROPERTIES INSTALL_RPATH "${LibTorch_ROOT}/lib;$ORIGIN/${_to_libraries}")
install(TARGETS pixart RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
