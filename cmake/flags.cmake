# Options, and the flags that every target gets through the interface library `sealpost_flags`.
option(SEALPOST_TESTS "build the tests" ON)
option(SEALPOST_BENCH "build the benchmarks" ON)
option(SEALPOST_TESTING "crash points and recounts: never in a release" OFF)
option(SEALPOST_FUZZ "build the libFuzzer targets (clang)" OFF)
option(SEALPOST_WERROR "warnings are errors" OFF)
set(SEALPOST_SANITIZE "" CACHE STRING "sanitizers, as -fsanitize= takes them")

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

add_library(sealpost_flags INTERFACE)
target_compile_definitions(sealpost_flags INTERFACE
    _GNU_SOURCE
    SEALPOST_VERSION="${PROJECT_VERSION}"
    SEALPOST_SYSCONFDIR="${CMAKE_INSTALL_FULL_SYSCONFDIR}"
    SEALPOST_LOCALSTATEDIR="${CMAKE_INSTALL_FULL_LOCALSTATEDIR}"
    SEALPOST_RUNSTATEDIR="${CMAKE_INSTALL_FULL_RUNSTATEDIR}"
    $<$<BOOL:${SEALPOST_TESTING}>:SEALPOST_TESTING>)
target_compile_options(sealpost_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
    -Wvla -Wswitch-enum -Wformat=2
    $<$<BOOL:${SEALPOST_WERROR}>:-Werror>)

if(SEALPOST_SANITIZE)
    target_compile_options(sealpost_flags INTERFACE
        -fsanitize=${SEALPOST_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(sealpost_flags INTERFACE -fsanitize=${SEALPOST_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    # Hardening.  tests/arch reads the binaries and checks that it took.
    set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG")
    target_compile_options(sealpost_flags INTERFACE
        -fstack-protector-strong -fstack-clash-protection
        $<$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},x86_64>:-fcf-protection=full>
        -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -ftrivial-auto-var-init=zero
        -fzero-call-used-regs=used-gpr -fno-strict-overflow -fno-delete-null-pointer-checks)
    target_link_options(sealpost_flags INTERFACE
        -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code)
endif()

set(SEALPOST_PROGRAMS "")

# program(NAME DIR dir USES layer...): main.c, cmd_*.c and whatever else lies in a folder that is no layer.
function(program NAME)
    cmake_parse_arguments(P "" "DIR" "USES" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${P_DIR}/main.c ${CMAKE_SOURCE_DIR}/${P_DIR}/cmd_*.c)
    get_property(layers GLOBAL PROPERTY SEALPOST_LAYERS)
    if(NOT NAME STREQUAL "sealpostd")
        file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${P_DIR}/*.c)
    endif()
    if(sources)
        add_executable(${NAME} ${sources})
        target_include_directories(${NAME} PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
        target_link_libraries(${NAME} PRIVATE sealpost_flags ${P_USES})
        set(SEALPOST_PROGRAMS ${SEALPOST_PROGRAMS} ${NAME} PARENT_SCOPE)
    endif()
endfunction()
