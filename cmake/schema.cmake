# Migrations become C tables: schema/broker -> generated/broker_schema.c, schema/agent likewise.
foreach(side IN ITEMS broker agent)
    file(GLOB sql CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/schema/${side}/[0-9]*.sql)
    set(views ${CMAKE_SOURCE_DIR}/schema/${side}/views.sql)
    if(sql AND TARGET ${side}_store)
        set(out ${CMAKE_BINARY_DIR}/generated/${side}_schema.c)
        add_custom_command(OUTPUT ${out}
            COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DNAME=${side} "-DSQL=${sql}" -DVIEWS=${views}
                    -P ${CMAKE_SOURCE_DIR}/schema/embed_sql.cmake
            DEPENDS ${sql} ${views} ${CMAKE_SOURCE_DIR}/schema/embed_sql.cmake VERBATIM)
        get_target_property(type ${side}_store TYPE)
        if(NOT type STREQUAL "INTERFACE_LIBRARY")
            target_sources(${side}_store PRIVATE ${out})
        endif()
    endif()
endforeach()
