#include "test/unit/test_tws_registry.h"

/* Names of owners, requests, and every text that refuses. */

#define LONG_NAME \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

#define NOT_INITIALIZED \
    " was not initialized. For that you must request ownership of the module, and your request must be " \
    "approved."

static void test_requests(void **state)
{
    static const struct step steps[] = {
        { REQUEST, "ann", NULL, .want = "!Module name cannot be null or the empty string" },
        { REQUEST, "ann", "", .want = "!Module name cannot be null or the empty string" },
        { REQUEST, "ann", "a-b", .want = "!Illegal character in Module name a-b: -" },
        { REQUEST, "ann", LONG_NAME, .want = "!Module name size is > 255 bytes" },
        { REQUEST, "ann", "Soil" },
        { REQUEST, "bob", "Rain" },
        { REQUEST, "bob", "Soil", .want = "!Registration of module Soil was already requested" },
        { REQUESTS, .want = "Soil:ann Rain:bob" },
        { APPROVE, NULL, NULL, .want = "!There is no request for module null" },
        { APPROVE, NULL, "Wind", .want = "!There is no request for module Wind" },
        { DENY, NULL, "Wind", .want = "!There is no request for module Wind" },
        { APPROVE, NULL, "Soil", .want = "" },
        { APPROVE, NULL, "Soil", .want = "!There is no request for module Soil" },
        { REQUESTS, .want = "Rain:bob" },
        { DENY, NULL, "Rain" },
        { REQUESTS, .want = "" },
        { REQUEST, "bob", "Rain" },
        { REQUEST, "bob", "Soil", .want = "!Module Soil was already registered" },
        { REGISTER, "ann", .spec = "module Soil { typedef int a; };", .add = "a", .want = "Soil.a-0.1" },
        { REQUEST, "bob", "Soil", .want = "!Module Soil was already registered" },
        { RELEASE, "ann", "Soil", .want = "a-1.0" },
        { REQUEST, "bob", "Soil", .want = "!Soil module already exists" },
        { SUPPORT_OFF, NULL, "Soil" },
        { REQUEST, "bob", "Soil", .want = "!Module Soil was already registered" },
    };

    (void)state;
    RUN(steps);
}

static void test_request_limit(void **state)
{
    static const struct step last[] = {
        { REQUEST, "ann", "M30", .want = "!User ann has maximal count of requests: 30" },
        { REQUEST, "ann", "M7", .want = "!User ann has maximal count of requests: 30" },
        { REQUEST, "bob", "M7", .want = "!Registration of module M7 was already requested" },
        { REQUEST, "bob", "Other" },
        { DENY, NULL, "M7" },
        { REQUEST, "ann", "M30" },
        { REQUEST, "ann", "M31", .want = "!User ann has maximal count of requests: 30" },
        { APPROVE, NULL, "M1" },
        { REQUEST, "ann", "M31" },
    };
    struct fixture f;

    (void)state;
    fixture_open(&f);
    for (int i = 0; i < 30; i++) {
        char name[16];
        AUTO_ERR(err);
        snprintf(name, sizeof(name), "M%d", i);
        assert_int_equal(registry_request_module(f.reg, "ann", slice_str(name), &err), 0);
    }
    run_steps(&f, last, ARRAY_LEN(last));
    fixture_close(&f);
}

static void test_owners(void **state)
{
    static const struct step steps[] = {
        { GRANT, "ann", "Soil", "bob", .want = "!User ann is not in list of owners of module Soil" },
        { GRANT, "ann", NULL, "bob", .want = "!User ann is not in list of owners of module null" },
        { GRANT, NULL, "Soil", "bob", .want = "!Module doesn't exist: Soil" },
        { GRANT, NULL, NULL, "bob", .want = "!Module doesn't exist: null" },
        { REMOVE, NULL, "Soil", "bob" },
        { REMOVE, NULL, NULL, NULL },
        { MAKE, "ann", "Soil" },
        { GRANT, "bob", "Soil", "bob", "grant", .want = "!User bob is not in list of owners of module Soil" },
        { GRANT, "ann", "Soil", NULL, .want = "!The new owner cannot be null or the empty string" },
        { GRANT, "ann", "Soil", "", .want = "!The new owner cannot be null or the empty string" },
        { GRANT, NULL, "Soil", NULL, .want = "!The new owner cannot be null or the empty string" },
        { GRANT, "ann", "Soil", "bob" },
        { GRANT, "bob", "Soil", "cat", .want = "!User bob can not change privileges for module Soil" },
        { REMOVE, "bob", "Soil", "bob", .want = "!User bob can not change privileges for module Soil" },
        { GRANT, "ann", "Soil", "bob", "grant" },
        { GRANT, "bob", "Soil", "cat" },
        { REMOVE, "bob", "Soil", NULL },
        { REMOVE, "bob", "Soil", "nobody" },
        { REMOVE, "bob", "Soil", "ann" },
        { REMOVE, "ann", "Soil", "bob", .want = "!User ann is not in list of owners of module Soil" },
        { GRANT, "bob", "Soil", "bob" },
        { GRANT, "bob", "Soil", "ann", .want = "!User bob can not change privileges for module Soil" },
        { REMOVE, NULL, "Soil", "cat" },
        { REMOVE, NULL, "Soil", "bob" },
        { RELEASE, "bob", "Soil", .want = "!User bob is not in list of owners of module Soil" },
        { GRANT, NULL, "Soil", "a b\xc3\xa9", "grant" },
        { GRANT, NULL, "Soil", "x\xed\xa0\x80y" },
        { GRANT, "x?y", "Soil", "ann", .want = "!User x?y can not change privileges for module Soil" },
        { REMOVE, NULL, "Soil", "x\xed\xa0\x80y" },
        { GRANT, "x?y", "Soil", "ann", .want = "!User x?y is not in list of owners of module Soil" },
    };

    (void)state;
    RUN(steps);
}

#define SOIL_1 \
    "module Soil { typedef structure { int a; } T; typedef structure { T t; } U; typedef int x; funcdef " \
    "f(T t) returns (U u); };"

static void test_refusals(void **state)
{
    static const struct step steps[] = {
        { REGISTER, "ann", .spec = "",
          .want = "!Unexpected error during parsing of spec-file include declarations: null" },
        { REGISTER, "ann", .spec = "\n#include <A.types>\n",
          .want = "!Unexpected error during parsing of spec-file include declarations: null" },
        { REGISTER, "ann", .spec = "#include \"A\"\nmodule Soil {};",
          .want = "!Unexpected error during parsing of spec-file include declarations: Wrong include "
                  "structure (it should be "
                  "...<file_path>): \"A\"" },
        { REGISTER, "ann", .spec = "#include <Nope>\nmodule Soil {};",
          .want = "!Module doesn't exist: Nope" },
        { REGISTER, "ann", .spec = "module Soil { typedef Nope n; };",
          .want = "!Unexpected error during spec-file parsing: Error at line 1, column 23: Can not find "
                  "type: Nope" },
        { REGISTER, "ann", .spec = "/* nothing */\n",
          .want = "!Spec-file should consist of only one service" },
        { REGISTER, "ann", .spec = "module Soil {}; module Rain {};",
          .want = "!Spec-file should consist of only one service" },
        { REGISTER, "ann", .spec = "module S : Soil {}; module S : Rain {};",
          .want = "!Spec-file should consist of only one module" },
        { REGISTER, "ann", .spec = "module Soil { typedef int a-b; };",
          .want = "!Illegal character in Type name a-b: -" },
        { REGISTER, "ann", .spec = "module Soil { funcdef a$b() returns (); };",
          .want = "!Illegal character in Function name a$b: $" },
        { REGISTER, "ann", .spec = "module a$b { funcdef c$d() returns (); };",
          .want = "!Illegal character in Module name a$b: $" },
        { REGISTER, "ann", .spec = SOIL_1, .want = "!Module Soil" NOT_INITIALIZED },
        { REFRESH, "ann", "Soil", .want = "!ModuleSoil was not registered" },
        { REFRESH, "ann", NULL, .want = "!Modulenull was not registered" },
        { RELEASE, "ann", "Soil", .want = "!User ann is not in list of owners of module Soil" },
        { RELEASE, "ann", NULL, .want = "!User ann is not in list of owners of module null" },
        { MAKE, "ann", "Soil" },
        { RELEASE, "ann", "Soil", .want = "!Module wasn't uploaded: Soil" },
        { REFRESH, "ann", "Soil", .want = "!Module wasn't uploaded: Soil" },
        { REGISTER, "bob", .spec = SOIL_1, .want = "!User bob is not in list of owners of module Soil" },
        { SAVE, NULL, "Soil", .add = "1" },
        { AFTER, "ann", .spec = SOIL_1, .dependencies = "=-1",
          .want = "!Concurrent modification: previous module version is $1 (but should be -1)" },
        { AFTER, "ann", .spec = SOIL_1, .add = "T", .dependencies = "=$1", .want = "Soil.T-0.1" },
        { REGISTER, "ann", .spec = SOIL_1, .remove = "T U",
          .want = "!Type is in unregistering type list but was not already registered: U" },
        { REGISTER, "ann", .spec = SOIL_1, .remove = "null",
          .want = "!Type is in unregistering type list but was not already registered: null" },
        { REGISTER, "ann", .spec = SOIL_1, .add = "U T", .want = "!Type was already registered before: T" },
        { REGISTER, "ann", .spec = SOIL_1, .add = "U W",
          .want = "!Type is in adding type list but is not defined in spec-file: W" },
        /* of several, the first of Java's HashSet is told */
        { REGISTER, "ann", .spec = SOIL_1, .remove = "leaf root stem",
          .want = "!Type is in unregistering type list but was not already registered: root" },
        { REGISTER, "ann", .spec = SOIL_1, .add = "Wolf Cat Wolf Zebra Cat",
          .want = "!Type is in adding type list but is not defined in spec-file: Zebra" },
        { REGISTER, "ann", .spec = SOIL_1, .add = "null",
          .want = "!Type is in adding type list but is not defined in spec-file: null" },
        { REGISTER, "ann", .spec = SOIL_1,
          .want = "!There is no difference between previous and current versions of module Soil" },
        { DRY_RUN, "ann", .spec = SOIL_1,
          .want = "!There is no difference between previous and current versions of module Soil" },
        { REFRESH, "ann", "Soil",
          .want = "!There is no difference between previous and current versions of module Soil" },
        { SUPPORT_OFF, NULL, "Soil" },
        { REGISTER, "ann", .spec = SOIL_1, .want = "!Module Soil is no longer supported" },
        { RELEASE, "ann", "Soil", .want = "!Module Soil is no longer supported" },
    };

    (void)state;
    RUN(steps);
}

static void test_versions(void **state)
{
    static const struct step steps[] = {
        { MAKE, "ann", "Soil" },
        { DRY_RUN, "ann", .spec = SOIL_1, .add = "T U", .want = "Soil.T-0.1 Soil.U-0.1" },
        { ENTRIES, NULL, "Soil", .want = " types[] funcs[]" },
        { REGISTER, "ann", .spec = SOIL_1, .add = "T", .want = "Soil.T-0.1" },
        { ENTRIES, NULL, "Soil", .want = " types[T-0.1] funcs[f-0.1]" },
        { EDGES, NULL, "Soil", .want = "f:f-0.1>Soil.T-0.1" },
        { REFRESH, "ann", "Soil", .add = "U", .want = "Soil.U-0.1" },
        { EDGES, NULL, "Soil", .want = "U-0.1>Soil.T-0.1;f:f-0.1>Soil.T-0.1" },
        { RELEASE, "ann", "Soil", .want = "T-1.0 U-1.0" },
        { RELEASE, "ann", "Soil", .want = "T-1.0 U-1.0" },
        { ENTRIES, NULL, "Soil", .want = " types[T-1.0 U-1.0] funcs[f-1.0]" },
        /* an optional field: T and those that it is part of are compatible */
        { REGISTER, "ann",
          .spec = "module Soil { /* @optional b */ typedef structure { int a; int b; } T; typedef structure "
                  "{ T t; } U;"
                  " funcdef f(T t) returns (U u); };",
          .want = "Soil.T-1.1 Soil.U-1.1" },
        { ENTRIES, NULL, "Soil", .want = " types[T-1.1 U-1.1] funcs[f-1.1]" },
        { REGISTER, "ann",
          .spec = "module Soil { typedef structure { string a; } T; typedef structure { T t; } U; };",
          .want = "Soil.T-2.0 Soil.U-2.0" },
        { ENTRIES, NULL, "Soil", .want = " types[T-2.0 U-2.0] funcs[f-1.1!]" },
        { REGISTER, "ann",
          .spec = "module Soil { /* c */ typedef structure { string a; } T; typedef structure { T t; } U; };",
          .want = "Soil.T-2.1" },
        { RELEASE, "ann", "Soil", .want = "T-2.1 U-2.0" },
    };

    (void)state;
    RUN(steps);
}

static void test_release_edges(void **state)
{
    static const struct step steps[] = {
        { MAKE, "ann", "Rain" },
        { REGISTER, "ann", .spec = "module Rain { typedef structure { int mm; } Drop; };", .add = "Drop",
          .want = "Rain.Drop-0.1" },
        { RELEASE, "ann", "Rain", .want = "Drop-1.0" },
        { MAKE, "ann", "Soil" },
        { REGISTER, "ann",
          .spec = "#include <x/y/Rain.types>\nmodule Soil { typedef structure { Rain.Drop d; } T;"
                  " typedef structure { list<T> t; Rain.Drop e; } D; funcdef f(T t) returns (D d); };",
          .add = "T D", .want = "Soil.D-0.1 Soil.T-0.1" },
        { EDGES, NULL, "Soil",
          .want = "D-0.1>Rain.Drop-1.0;D-0.1>Soil.T-0.1;T-0.1>Rain.Drop-1.0;f:f-0.1>Soil.D-0.1;f:f-0.1>Soil."
                  "T-0.1" },
        { RELEASE, "ann", "Soil", .want = "D-1.0 T-1.0" },
        /* and the edges from 0.1 to 1.0 that upstream makes as well */
        { EDGES, NULL, "Soil",
          .want =
              "D-0.1>Rain.Drop-1.0;D-0.1>Soil.T-0.1;D-0.1>Soil.T-1.0;D-1.0>Rain.Drop-1.0;D-1.0>Soil.T-1.0;"
              "T-0.1>Rain.Drop-1.0;T-1.0>Rain.Drop-1.0;"
              "f:f-0.1>Soil.D-0.1;f:f-0.1>Soil.D-1.0;f:f-0.1>Soil.T-0.1;f:f-0.1>Soil.T-1.0;"
              "f:f-1.0>Soil.D-1.0;f:f-1.0>Soil.T-1.0" },
        /* a new type among old ones: old users of it take part, those of other modules do not */
        { REGISTER, "ann",
          .spec = "#include <Rain.types>\nmodule Soil { typedef structure { Rain.Drop d; } T; typedef "
                  "structure { T t; } N;"
                  " typedef structure { list<T> t; Rain.Drop e; N n; } D; funcdef f(T t) returns (D d); };",
          .add = "N", .want = "Soil.D-2.0 Soil.N-0.1" },
        { RELEASE, "ann", "Soil", .want = "D-2.0 N-1.0 T-1.0" },
        { TYPE, NULL, "Soil.N", .want = "N-1.0" },
    };

    (void)state;
    RUN(steps);
}

static void test_removing(void **state)
{
    static const struct step steps[] = {
        { MAKE, "ann", "Soil" },
        { REGISTER, "ann", .spec = SOIL_1, .add = "T U x", .want = "Soil.T-0.1 Soil.U-0.1 Soil.x-0.1" },
        { REFRESH, "ann", "Soil", .remove = "x", .want = "" },
        { ENTRIES, NULL, "Soil", .want = " types[T-0.1 U-0.1 x-0.1!] funcs[f-0.1]" },
        { RELEASE, "ann", "Soil", .want = "T-1.0 U-1.0 x-1.0" },
        { ENTRIES, NULL, "Soil", .want = " types[T-1.0 U-1.0 x-1.0!] funcs[f-1.0]" },
        { REGISTER, "ann", .spec = "module Soil { typedef structure { int a; } T; typedef int x; };",
          .want = "" },
        { ENTRIES, NULL, "Soil", .want = " types[T-1.0 U-1.0! x-1.0!] funcs[f-1.0!]" },
        { REFRESH, "ann", "Soil", .remove = "U",
          .want = "!Type is in unregistering type list but was not already registered: U" },
        /* put back unchanged: at the old version, and shown */
        { DRY_RUN, "ann", .spec = SOIL_1, .add = "U", .want = "Soil.U-1.0" },
        { REGISTER, "ann", .spec = SOIL_1, .add = "U", .want = "Soil.U-1.0" },
        { ENTRIES, NULL, "Soil", .want = " types[T-1.0 U-1.0 x-1.0!] funcs[f-1.0]" },
        { REFRESH, "ann", "Soil", .add = "x", .want = "Soil.x-1.0" },
        { REFRESH, "ann", "Soil",
          .want = "!There is no difference between previous and current versions of module Soil" },
        { REFRESH, "ann", "Soil", .remove = "x", .want = "" },
        /* put back with a change: counted on */
        { REGISTER, "ann",
          .spec = "module Soil { typedef structure { int a; } T; typedef structure { T t; } U; typedef "
                  "string x; };",
          .add = "x", .want = "Soil.x-2.0" },
        { RELEASE, "ann", "Soil", .want = "T-1.0 U-1.0 x-2.0" },
        { REGISTER, "ann", .spec = SOIL_1, .want = "Soil.x-3.0" },
        { ENTRIES, NULL, "Soil", .want = " types[T-1.0 U-1.0 x-3.0] funcs[f-1.0]" },
    };

    (void)state;
    RUN(steps);
}

static void test_defined_twice(void **state)
{
    static const struct step steps[] = {
        { MAKE, "ann", "Soil" },
        { REGISTER, "ann", .spec = "module Soil { typedef int a; typedef string a; };", .add = "a",
          .want = "Soil.a-0.1" },
        { ENTRIES, NULL, "Soil", .want = " types[a-0.2] funcs[]" },
        { TYPE, NULL, "Soil.a-0.1", .want = "a-0.1" },
        { REGISTER, "ann", .spec = "module Soil { typedef int a; typedef string a; };",
          .want = "Soil.a-0.3" },
        { ENTRIES, NULL, "Soil", .want = " types[a-0.3] funcs[]" },
    };

    (void)state;
    RUN(steps);
}

#define COM_1 "module Com { typedef structure { int a; } CS; typedef int cn; };"
#define COM_2 "module Com { typedef structure { string a; } CS; typedef int cn; };"
#define MID "#include <Com>\nmodule Mid { typedef structure { Com.CS cs; } MS; };"
#define UP \
    "#include <Com.types>\n#include <Mid.types>\nmodule Up { typedef structure { Com.CS c; Mid.MS m; } US; " \
    "};"

static void test_includes(void **state)
{
    static const struct step steps[] = {
        { MAKE, "ann", "Com" },
        { MAKE, "ann", "Mid" },
        { MAKE, "ann", "Up" },
        { SAVE, NULL, "Com", .add = "0" },
        { REGISTER, "ann", .spec = MID, .want = "!Module wasn't uploaded: Com" },
        { REGISTER, "ann", .spec = COM_1, .add = "CS", .want = "Com.CS-0.1" },
        { SAVE, NULL, "Com", .add = "5" },
        { REGISTER, "ann", .spec = MID, .want = "!Module wasn't uploaded: Com" },
        { DRY_RUN, "ann", .spec = MID, .add = "MS", .dependencies = "Com=$5", .want = "Mid.MS-0.1" },
        { RELEASE, "ann", "Com", .want = "CS-1.0" },
        { SAVE, NULL, "Com", .add = "1" },
        { REGISTER, "ann", .spec = MID, .add = "MS", .want = "Mid.MS-0.1" },
        { INCLUDES, NULL, "Mid", .want = "Com=$1" },
        { EDGES, NULL, "Mid", .want = "MS-0.1>Com.CS-1.0" },
        { RELEASE, "ann", "Mid", .want = "MS-1.0" },
        { SAVE, NULL, "Mid", .add = "2" },
        { REGISTER, "ann", .spec = COM_2, .want = "Com.CS-2.0" },
        { RELEASE, "ann", "Com", .want = "CS-2.0" },
        { SAVE, NULL, "Com", .add = "3" },
        { REGISTER, "ann", .spec = UP, .add = "US",
          .want = "!Incompatible module dependecies: Com($3)<-RootModule and Com($1)<-Mid($2)<-RootModule" },
        { DRY_RUN, "ann", .spec = UP, .add = "US", .dependencies = "Com=$1 Nope=7", .want = "Up.US-0.1" },
        { REGISTER, "ann", .spec = UP, .dependencies = "Com=$3",
          .want = "!Version of dependent module Com($1)<-Mid($2)<-RootModule is not compatible with module "
                  "version "
                  "restriction: $3" },
        { REGISTER, "ann", .spec = UP, .dependencies = "Com=1",
          .want = "!Unexpected error during spec-file parsing: Info-record was not found for module: Com" },
        { REGISTER, "ann", .spec = UP, .dependencies = "Com=$0", .want = "!Module wasn't uploaded: Com" },
        { REFRESH, "ann", "Mid", .want = "Mid.MS-2.0" },
        { REFRESH, "ann", "Mid", .want = "" }, /* with includes there is always a difference */
        { RELEASE, "ann", "Mid", .want = "MS-2.0" },
        { REGISTER, "ann", .spec = UP, .add = "US", .want = "Up.US-0.1" },
        { EDGES, NULL, "Up", .want = "US-0.1>Com.CS-2.0;US-0.1>Mid.MS-2.0" },
        /* only what is registered there can be used, removed or not */
        { REGISTER, "ann",
          .spec = "#include <Com>\nmodule Up { typedef Com.cn n; typedef structure { n x; } US; };",
          .want = "!Reference to external not registered module/type is missing: Com.cn" },
        { REGISTER, "ann",
          .spec = "#include <Com>\nmodule Up { typedef mapping<Com.cn, int> US; typedef Com.cn z; };",
          .want = "Up.US-0.2" },
        { REGISTER, "ann", .spec = "#include <Com>\nmodule Up { funcdef f(Com.cn n) returns (); };",
          .want = "!Reference to external not registered module/type is missing: Com.cn" },
        { REFRESH, "ann", "Com", .remove = "CS", .want = "" },
        { RELEASE, "ann", "Com", .want = "CS-2.0" },
        { REGISTER, "ann",
          .spec = "#include <Com>\n#include <Com>\nmodule Up { typedef structure { Com.CS c; } US; };",
          .want = "Up.US-0.3" },
        { REGISTER, "ann", .spec = " #include <Com>\nmodule Up { typedef structure { Com.CS c; } US; };",
          .want = "!Unexpected error during spec-file parsing: Error at line 1, column 2: Can not find "
                  "included module [Com] "
                  "from line: #include <Com>" },
        { SUPPORT_OFF, NULL, "Com" },
        { REFRESH, "ann", "Up", .want = "!Module Com is no longer supported" },
        { REFRESH, "ann", "Up", .dependencies = "Com=$3", .want = "" },
        { REFRESH, "ann", "Mid", .want = "!Module Com is no longer supported" },
    };

    (void)state;
    RUN(steps);
}

static void test_self_include(void **state)
{
    static const struct step steps[] = {
        { MAKE, "ann", "Soil" },
        { REGISTER, "ann", .spec = "#include <Soil>\nmodule Soil { typedef int a; };",
          .want = "!Module wasn't uploaded: Soil" },
        { REGISTER, "ann", .spec = "module Soil { typedef int a; };", .add = "a", .want = "Soil.a-0.1" },
        { RELEASE, "ann", "Soil" },
        { SAVE, NULL, "Soil", .add = "1" },
        { REGISTER, "ann", .spec = "#include <Soil>\nmodule Soil { typedef int a; typedef list<a> b; };",
          .add = "b", .want = "Soil.b-0.1" },
        { INCLUDES, NULL, "Soil", .want = "Soil=$1" },
        { RELEASE, "ann", "Soil", .want = "a-1.0 b-1.0" },
        { EDGES, NULL, "Soil", .want = "b-0.1>Soil.a-1.0;b-1.0>Soil.a-1.0" },
        { REFRESH, "ann", "Soil",
          .want =
              "!Incompatible module dependecies: Soil($2)<-RootModule and Soil($1)<-Soil($2)<-RootModule" },
    };
    struct fixture f;

    (void)state;
    fixture_open(&f);
    run_steps(&f, steps, ARRAY_LEN(steps) - 1);
    const struct step save = { SAVE, NULL, "Soil", .add = "2" };
    run_steps(&f, &save, 1);
    run_steps(&f, &steps[ARRAY_LEN(steps) - 1], 1);
    fixture_close(&f);
}

/* What an included module includes is visited in the order of a Java map, which decides who is the first to
 * be refused. */
static void test_include_order(void **state)
{
    static const struct step steps[] = {
        { MAKE, "ann", "alpha" },
        { MAKE, "ann", "zeta" },
        { MAKE, "ann", "Both" },
        { MAKE, "ann", "Up" },
        { REGISTER, "ann", .spec = "module alpha { typedef int a; };" },
        { RELEASE, "ann", "alpha" },
        { SAVE, NULL, "alpha", .add = "1" },
        { REGISTER, "ann", .spec = "module zeta { typedef int a; };" },
        { RELEASE, "ann", "zeta" },
        { SAVE, NULL, "zeta", .add = "2" },
        { REGISTER, "ann", .spec = "#include <alpha>\n#include <zeta>\nmodule Both { typedef int a; };" },
        { RELEASE, "ann", "Both" },
        { SAVE, NULL, "Both", .add = "3" },
        { INCLUDES, NULL, "Both", .want = "alpha=$1 zeta=$2" },
        { REGISTER, "ann", .spec = "#include <Both>\nmodule Up { typedef int a; };",
          .dependencies = "alpha=5 zeta=6",
          .want = "!Version of dependent module zeta($2)<-Both($3)<-RootModule is not compatible with module "
                  "version "
                  "restriction: 6" },
        { REGISTER, "ann", .spec = "#include <Both>\nmodule Up { typedef int a; };",
          .dependencies = "alpha=5 zeta=$2",
          .want = "!Version of dependent module alpha($1)<-Both($3)<-RootModule is not compatible with "
                  "module version "
                  "restriction: 5" },
        { REGISTER, "ann", .spec = "#include <Nope>\nmodule Up { typedef int a; };", .dependencies = "Nope=5",
          .want = "!Unexpected error during spec-file parsing: Info-record was not found for module: Nope" },
        /* without using anything of it */
        { REGISTER, "ann", .spec = "#include <Both>\n\n#include <zeta>\nmodule Up { typedef zeta.a a; };",
          .want = "" },
        { INCLUDES, NULL, "Up", .want = "Both=$3 zeta=$2" },
        { REGISTER, "ann", .spec = "#include <Both>\nmodule Up { typedef zeta.a a; };",
          .want = "!Unexpected error during spec-file parsing: Error at line 2, column 26: Can not find "
                  "module: zeta" },
    };

    (void)state;
    RUN(steps);
}

/* The module is the name behind the colon. */
static void test_service_name(void **state)
{
    static const struct step steps[] = {
        { MAKE, "ann", "Soil" },
        { REGISTER, "ann", .spec = "module Svc : Soil { typedef int a; };", .add = "a",
          .want = "Soil.a-0.1" },
    };

    (void)state;
    RUN(steps);
}

/* A lone surrogate is stored as `?`, so a text with one differs from what is stored. */
static void test_java_bytes(void **state)
{
    static const struct step steps[] = {
        { MAKE, "ann", "Soil" },
        { REGISTER, "ann", .spec = "/* x\xed\xa0\x80y */ module Soil { /* \xed\xa0\x80 */ typedef int a; };",
          .add = "a", .want = "Soil.a-0.1" },
        { REFRESH, "ann", "Soil",
          .want = "!There is no difference between previous and current versions of module Soil" },
    };
    struct fixture f;
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    AUTO_ERR(err);

    (void)state;
    fixture_open(&f);
    run_steps(&f, steps, ARRAY_LEN(steps));
    const struct catalogue *cat = registry_snapshot(f.reg);
    const struct cat_version *v = cat_last(cat_find_module(cat, SLICE("Soil")));
    assert_true(slice_is(v->description, "x?y"));
    const struct text_key key = { .kind = TEXT_SPEC, .module = SLICE("Soil"), .module_version = v->version };
    assert_int_equal(store_read_text(f.store, &key, &text, &err), 1);
    assert_true(slice_is(sbuf_slice(&text), "/* x?y */ module Soil { /* ? */ typedef int a; };\n"));
    catalogue_unref(cat);
    fixture_close(&f);
}

/* A type that only another type's schema text tells apart gets its stored rows right. */
static void test_rows(void **state)
{
    static const struct step steps[] = {
        { MAKE, "ann", "Soil" },
        { REGISTER, "ann",
          .spec = "module Soil { /* hi */ typedef structure { int foo; } T; funcdef f() returns (); };",
          .add = "T" },
        { RELEASE, "ann", "Soil", .want = "T-1.0" },
    };
    static const char schema[] =
        "{\n  \"id\" : \"T\",\n  \"description\" : \"hi\",\n  \"type\" : \"object\",\n"
        "  \"original-type\" : \"kidl-structure\",\n  \"properties\" : {\n    \"foo\" : {\n"
        "      \"type\" : \"integer\",\n      \"original-type\" : \"kidl-int\"\n    }\n  },\n"
        "  \"additionalProperties\" : true,\n  \"required\" : [ \"foo\" ]\n}";
    struct fixture f;
    AUTO_ERR(err);
    char md5[MD5_HEX + 1];

    (void)state;
    fixture_open(&f);
    run_steps(&f, steps, ARRAY_LEN(steps));
    md5_hex(slice_str(schema), md5);
    const struct catalogue *cat = registry_snapshot(f.reg);
    const struct cat_name *name = cat_find_type(cat_find_module(cat, SLICE("Soil")), SLICE("T"));
    assert_int_equal(name->row_count, 2);
    for (size_t i = 0; i < 2; i++) {
        AUTO_SBUF(text, SBUF_NO_LIMIT);
        const struct text_key key = {
            .kind = TEXT_SCHEMA, .module = SLICE("Soil"), .name = SLICE("T"), .version = name->rows[i].version
        };
        assert_string_equal(name->rows[i].md5, md5);
        assert_true(name->rows[i].has_parse);
        assert_int_equal(store_read_text(f.store, &key, &text, &err), 1);
        assert_texts(sbuf_slice(&text), slice_str(schema));
    }
    catalogue_unref(cat);
    fixture_close(&f);
}

/* Numbers grow even if the clock does not, and whatever number a row or edge names is never used again. */
static void test_leftovers(void **state)
{
    static const struct step before[] = {
        { MAKE, "ann", "Soil" },
        { REGISTER, "ann", .spec = SOIL_1, .add = "T U", .want = "Soil.T-0.1 Soil.U-0.1" },
        { SAVE, NULL, "Soil", .add = "1" },
    };
    static const struct step after[] = {
        { TYPE, NULL, "Soil.T-0.2", .want = "!Unable to locate type: Soil.T-0.2" },
        { TYPE_MD5, NULL, "Soil.T-0.2", .want = "!Type schema record was not found for Soil.T.0.2" },
        { TYPE, NULL, "Soil.T-00000000000000000000000000000000",
          .want = "!Unable to locate type: Soil.T-00000000000000000000000000000000" },
        { RELEASE, "ann", "Soil", .want = "T-1.0 U-1.0" },
    };
    struct fixture f;

    (void)state;
    fixture_open(&f);
    run_steps(&f, before, ARRAY_LEN(before));
    const int64_t far = f.saved[1] + 1000000;
    const struct change orphans[] = {
        { .kind = CHANGE_ADD_SCHEMA,
          .row = { SLICE("Soil"),
                   SLICE("T"),
                   { 0, 2 },
                   far,
                   SLICE("{}"),
                   SLICE("00000000000000000000000000000000") } },
        { .kind = CHANGE_ADD_TYPE_REF,
          .edge = { SLICE("Soil"), SLICE("T"), { 0, 2 }, far, SLICE("Soil"), SLICE("U"), { 0, 1 } } },
        { .kind = CHANGE_ADD_TYPE_REF,
          .edge = { SLICE("Soil"), SLICE("U"), { 0, 1 }, far, SLICE("Gone"), SLICE("U"), { 0, 1 } } },
        { .kind = CHANGE_PUT_OWNER, .owner = { SLICE("Gone"), SLICE("eve"), true } },
    };
    store_change(&f, orphans, ARRAY_LEN(orphans));
    registry_close(f.reg);
    fixture_open_registry(&f);
    assert_reload_same(&f);
    run_steps(&f, after, ARRAY_LEN(after));
    const struct catalogue *cat = registry_snapshot(f.reg);
    assert_true(cat_find_module(cat, SLICE("Soil"))->last > far);
    catalogue_unref(cat);

    /* an owner from before the module does not come back with it; a row in the way is told */
    static const struct step gone[] = {
        { MAKE, "ann", "Gone" },
        { RELEASE, "eve", "Gone", .want = "!User eve is not in list of owners of module Gone" },
        { REGISTER, "ann", .spec = "module Soil { typedef structure { int b; } T; };", .want = "Soil.T-2.0" },
    };
    run_steps(&f, gone, ARRAY_LEN(gone));
    fixture_close(&f);
}

#define DAMAGED "!Module Rain can only be read, because its records in the type database are damaged: "
#define ADVICE ". `wstyped fsck` tells more and mends what it can"
#define NO_INFO "the newest version $9 has no info record" ADVICE

/* Pointers and infos that do not fit: other modules work, this one answers what it can and is not changed. */
static void test_damaged(void **state)
{
    static const struct step before[] = {
        { MAKE, "ann", "Rain" },
        { REGISTER, "ann", .spec = "module Rain { typedef int a; };", .add = "a" },
        { RELEASE, "ann", "Rain" },
        { SAVE, NULL, "Rain", .add = "1" },
        { MAKE, "ann", "Soil" },
        { SAVE, NULL, "Soil", .add = "2" },
    };
    static const struct step after[] = {
        { TYPE, NULL, "Rain.a", .want = "a-1.0" },
        { TYPE, "ann", "Rain.a", .want = "a-1.0" },
        { TYPE, "ann", "Rain.a-1.0", .want = "a-1.0" },
        { MODULE, "ann", "Rain", .want = "$1" },
        { MODULE, NULL, "Rain", .want = "$1" },
        { REGISTER, "ann", .spec = "module Rain { typedef int b; };", .want = DAMAGED NO_INFO },
        { REFRESH, "ann", "Rain", .want = DAMAGED NO_INFO },
        { RELEASE, "ann", "Rain", .want = DAMAGED NO_INFO },
        { GRANT, "ann", "Rain", "bob", .want = DAMAGED NO_INFO },
        { REMOVE, "ann", "Rain", "ann", .want = DAMAGED NO_INFO },
        { TYPE, NULL, "Soil.a", .want = "!Info-record was not found for module: Soil" },
        { TYPE, "ann", "Soil.a", .want = "!Module wasn't uploaded: Soil" },
        { MODULE, NULL, "Soil", .want = "!Module wasn't uploaded: Soil" },
        { REGISTER, "ann", .spec = "module Soil { typedef int b; };",
          .want = "!Module wasn't uploaded: Soil" },
    };
    struct fixture f;

    (void)state;
    fixture_open(&f);
    run_steps(&f, before, ARRAY_LEN(before));
    f.saved[9] = f.saved[1] + 5;
    const struct change harm[] = {
        { .kind = CHANGE_MOVE_POINTERS, .pointers = { SLICE("Rain"), f.saved[1] + 5, f.saved[1], true } },
        { .kind = CHANGE_MOVE_POINTERS, .pointers = { SLICE("Soil"), f.saved[2], f.saved[2] - 5, true } },
    };
    store_change(&f, harm, ARRAY_LEN(harm));
    registry_close(f.reg);
    fixture_open_registry(&f);
    run_steps(&f, after, ARRAY_LEN(after));

    /* an info above the pointer: invisible, and in the way of every change */
    const struct change stray[] = {
        { .kind = CHANGE_MOVE_POINTERS, .pointers = { SLICE("Rain"), f.saved[1], f.saved[1], true } },
        { .kind = CHANGE_ADD_INFO, .info = { .module = SLICE("Rain"), .version = f.saved[1] + 7 } },
    };
    static const struct step read_only[] = {
        { TYPE, "ann", "Rain.a", .want = "a-1.0" },
        { MODULE, "ann", "Rain", .want = "$1" },
        { REGISTER, "ann", .spec = "module Rain { typedef int b; };",
          .want = DAMAGED "there is a version above the newest one" ADVICE },
        { RELEASE, "ann", "Rain", .want = DAMAGED "there is a version above the newest one" ADVICE },
    };
    store_change(&f, stray, ARRAY_LEN(stray));
    registry_close(f.reg);
    fixture_open_registry(&f);
    run_steps(&f, read_only, ARRAY_LEN(read_only));
    fixture_close(&f);
}

static void test_fenced(void **state)
{
    struct fixture f;
    AUTO_ERR(err);

    (void)state;
    fixture_open(&f);
    assert_int_equal(store_lease_give_up(f.store, f.fence, &err), 0);
    assert_int_equal(registry_request_module(f.reg, "ann", SLICE("Soil"), &err), -ERR_FENCED);
    const struct catalogue *cat = registry_snapshot(f.reg);
    assert_int_equal(cat->request_count, 0);
    assert_int_equal(cat->sequence, 1);
    catalogue_unref(cat);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),      cmocka_unit_test(test_request_limit),
        cmocka_unit_test(test_owners),        cmocka_unit_test(test_fenced),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_versions),
        cmocka_unit_test(test_release_edges), cmocka_unit_test(test_removing),
        cmocka_unit_test(test_defined_twice), cmocka_unit_test(test_includes),
        cmocka_unit_test(test_self_include),  cmocka_unit_test(test_service_name),
        cmocka_unit_test(test_java_bytes),    cmocka_unit_test(test_rows),
        cmocka_unit_test(test_leftovers),     cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_include_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
