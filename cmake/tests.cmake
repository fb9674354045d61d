# Unit tests: tests/unit/NAME.c is a Criterion program that links the layers named in its first line,
# which reads  /* layers: base wire */.  Everything in tests/lib is available to all of them.
#
# Test(suite, T<n>_words) shows row T<n> of docs/protocol.md; ctest knows each by its name, suite/T<n>_words,
# and unit_NAME runs the others.
enable_testing()
find_library(CRITERION criterion REQUIRED)

# The world: broker and agents in one process (tests/lib/world.h).
file(GLOB world CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/lib/world*.c ${CMAKE_SOURCE_DIR}/tests/lib/liar*.c)
add_library(testworld STATIC EXCLUDE_FROM_ALL ${world})
target_include_directories(testworld PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(testworld PUBLIC sealpost_flags agent_flow broker_flow broker_controller)

# An agent made by hand, and the broker's flow without sockets (tests/lib/fake_*.h).
file(GLOB fakes CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/lib/fake_*.c)
add_library(testlib STATIC EXCLUDE_FROM_ALL ${fakes})
target_include_directories(testlib PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(testlib PUBLIC sealpost_flags broker_flow broker_controller broker_store trust wire)

file(GLOB units CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/*.c ${CMAKE_SOURCE_DIR}/tests/world/test_*.c
     ${CMAKE_SOURCE_DIR}/tests/liar/test_*.c)
foreach(file IN LISTS units)
    get_filename_component(name ${file} NAME_WE)
    file(STRINGS ${file} first LIMIT_COUNT 1)
    string(REGEX MATCH "layers:([a-z_ ]*)" ignored "${first}")
    string(REGEX MATCHALL "[a-z_]+" layers "${CMAKE_MATCH_1}")
    add_executable(unit_${name} ${file})
    target_include_directories(unit_${name} PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
    target_link_libraries(unit_${name} PRIVATE sealpost_flags ${layers} ${CRITERION} PkgConfig::JANSSON)
    add_test(NAME unit_${name} COMMAND unit_${name} --filter "*/!(T[0-9]*)")
    if(file MATCHES "/tests/world/")
        set_tests_properties(unit_${name} PROPERTIES COST 100) # ctest begins with the long ones
    endif()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(STRINGS ${file} rows REGEX "^Test\\([a-z_]+, T[0-9]+_[A-Za-z0-9_]+")
    foreach(row IN LISTS rows)
        string(REGEX REPLACE "^Test\\(([a-z_]+), (T[0-9]+_[A-Za-z0-9_]+).*" "\\1/\\2" row "${row}")
        add_test(NAME ${row} COMMAND unit_${name} --filter ${row})
    endforeach()
endforeach()

if(EXISTS ${CMAKE_SOURCE_DIR}/tests/vectors.c OR EXISTS ${CMAKE_SOURCE_DIR}/tests/vectors)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/vectors.c ${CMAKE_SOURCE_DIR}/tests/vectors/*.c)
    if(sources)
        add_executable(vectors ${sources})
        target_include_directories(vectors PRIVATE ${CMAKE_SOURCE_DIR})
        target_link_libraries(vectors PRIVATE sealpost_flags agent_flow trust wire PkgConfig::JANSSON)
        add_test(NAME vectors COMMAND vectors ${CMAKE_SOURCE_DIR}/tests/vectors/protocol_vectors.json)
    endif()
endif()

add_subdirectory(tests/arch)

# Wycheproof's files are not ours to carry: SEALPOST_WYCHEPROOF names their folder, else it skips.
add_executable(wycheproof ${CMAKE_SOURCE_DIR}/tests/wycheproof/main.c ${CMAKE_SOURCE_DIR}/tests/vectors/check.c)
target_include_directories(wycheproof PRIVATE ${CMAKE_SOURCE_DIR})
target_link_libraries(wycheproof PRIVATE sealpost_flags agent_crypto trust wire PkgConfig::JANSSON)
add_test(NAME wycheproof COMMAND wycheproof)
set_tests_properties(wycheproof PROPERTIES SKIP_RETURN_CODE 77)

# Peers that do what they must not, against a real broker.
file(GLOB hostile CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/hostile/*.c)
add_executable(hostile ${hostile} ${CMAKE_SOURCE_DIR}/bench/load/client.c)
target_include_directories(hostile PRIVATE ${CMAKE_SOURCE_DIR})
target_link_libraries(hostile PRIVATE sealpost_flags agent_crypto trust wire net)
add_test(NAME hostile COMMAND hostile ${CMAKE_BINARY_DIR})
set_tests_properties(hostile PROPERTIES COST 50)
