# find_package(nncc) for installed trees: the runtime as nncc::runtime and
#   nncc_add_model(target MODEL m.json [WEIGHTS w.safetensors] [OPTIONS ...])
# which compiles a model into a library `target` with its header.
get_filename_component(NNCC_ROOT "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(NNCC_COMPILER "${NNCC_ROOT}/bin/nncc")
find_package(Threads REQUIRED)

if(NOT TARGET nncc::runtime)
  add_library(nncc::runtime STATIC IMPORTED)
  set_target_properties(nncc::runtime PROPERTIES
    IMPORTED_LOCATION "${NNCC_ROOT}/lib/libnncc_rt.a"
    INTERFACE_INCLUDE_DIRECTORIES "${NNCC_ROOT}/include"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS}")
endif()

function(nncc_add_model target)
  cmake_parse_arguments(ARG "" "MODEL;WEIGHTS" "OPTIONS" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "nncc_add_model(${target}): unknown arguments "
      "${ARG_UNPARSED_ARGUMENTS}: it takes MODEL, WEIGHTS and OPTIONS")
  endif()
  if(NOT ARG_MODEL)
    message(FATAL_ERROR "nncc_add_model(${target}): MODEL is missing")
  endif()
  get_filename_component(model "${ARG_MODEL}" ABSOLUTE)
  foreach(file "${model}" ${ARG_WEIGHTS})
    get_filename_component(file "${file}" ABSOLUTE)
    if(NOT EXISTS "${file}")
      message(FATAL_ERROR "nncc_add_model(${target}): there is no file ${file}")
    endif()
  endforeach()
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/${target}.nncc")
  file(MAKE_DIRECTORY "${folder}")
  add_custom_command(
    OUTPUT "${folder}/${target}.o" "${folder}/${target}.h"
    COMMAND "${NNCC_COMPILER}" compile "${model}" -o "${folder}/${target}.o"
            ${ARG_OPTIONS}
    DEPENDS "${model}" "${NNCC_COMPILER}"
    COMMENT "Compiling model ${target}")
  add_custom_target(${target}_model DEPENDS "${folder}/${target}.o")
  add_library(${target} INTERFACE)
  add_dependencies(${target} ${target}_model)
  target_link_libraries(${target} INTERFACE "${folder}/${target}.o"
    nncc::runtime)
  target_include_directories(${target} INTERFACE "${folder}")
  if(ARG_WEIGHTS) # beside the app, under the model's name
    get_filename_component(weights "${ARG_WEIGHTS}" ABSOLUTE)
    configure_file("${weights}"
      "${CMAKE_CURRENT_BINARY_DIR}/${target}.safetensors" COPYONLY)
  endif()
endfunction()
