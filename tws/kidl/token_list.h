/*
 * token_list: the tokens of KIDL as X-macros.  X(id, number, name): the number orders the alternatives of a
 * syntax error, the name is how such an error writes the token.  WORD_LIST and MARK_LIST add the spelling.
 */
#ifndef TWS_KIDL_TOKEN_LIST_H
#define TWS_KIDL_TOKEN_LIST_H

#define WORD_LIST(X) \
    X(MODULE, 9, "module") \
    X(AUTHENTICATION, 10, "authentication") \
    X(REQUIRED, 11, "required") \
    X(OPTIONAL, 12, "optional") \
    X(NONE, 13, "none") \
    X(TYPEDEF, 14, "typedef") \
    X(FUNCDEF, 15, "funcdef") \
    X(STRING, 16, "string") \
    X(INT, 17, "int") \
    X(FLOAT, 18, "float") \
    X(UNSPECIFIED, 19, "UnspecifiedObject") \
    X(LIST, 20, "list") \
    X(MAPPING, 21, "mapping") \
    X(STRUCTURE, 22, "structure") \
    X(TUPLE, 23, "tuple") \
    X(RETURNS, 24, "returns")

#define MARK_LIST(X) \
    X(OPEN_PAREN, 25, "(") \
    X(CLOSE_PAREN, 26, ")") \
    X(COMMA, 27, ",") \
    X(DOT, 28, ".") \
    X(SEMICOLON, 29, ";") \
    X(COLON, 30, ":") \
    X(OPEN_BRACE, 31, "{") \
    X(CLOSE_BRACE, 32, "}") \
    X(LESS, 38, "<") \
    X(GREATER, 39, ">")

#define OTHER_TOKEN_LIST(X) \
    X(EOF, 0, "<EOF>") \
    X(INCLUDE, 8, "\"#include\"") \
    X(IDENTIFIER, 33, "<S_IDENTIFIER>") \
    X(INCLUDE_LITERAL, 37, "<INCLUDE_LITERAL>")

#endif
