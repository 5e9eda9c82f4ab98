/*
 * annot_list: the annotations that mean something, as X(name, reader).  All others are recorded as they are.
 */
#ifndef TWS_KIDL_ANNOT_LIST_H
#define TWS_KIDL_ANNOT_LIST_H

#define ANNOTATION_LIST(X) \
    X("optional", annot_optional) \
    X("id", annot_id) \
    X("range", annot_range) \
    X("searchable", annot_searchable) \
    X("metadata", annot_metadata)

#endif
