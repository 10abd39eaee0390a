"""Names of users and groups <-> numbers; see owners.pxd."""

from libc.stdint cimport uint32_t, uint8_t

from escp._fast.base.libc cimport (getgrgid_r, getgrnam_r, getpwnam_r, getpwuid_r, group_t, memcpy, passwd_t,
                                   pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_unlock,
                                   strcmp, strlen)

cdef enum:
    RECORD_BYTES = 65536  # a group's record holds all its members


cdef void owners_open(owner_cache *c) noexcept nogil:
    pthread_mutex_init(&c.lock, NULL)


cdef void owners_close(owner_cache *c) noexcept nogil:
    pthread_mutex_destroy(&c.lock)


cdef void ask_name(owner *o) noexcept nogil:
    cdef char record[RECORD_BYTES]
    cdef passwd_t user
    cdef passwd_t *found_user = NULL
    cdef group_t group
    cdef group_t *found_group = NULL
    cdef const char *name = NULL
    if o.is_group:
        if getgrgid_r(o.id, &group, record, RECORD_BYTES, &found_group) == 0 and found_group != NULL:
            name = group.gr_name
    elif getpwuid_r(o.id, &user, record, RECORD_BYTES, &found_user) == 0 and found_user != NULL:
        name = user.pw_name
    o.is_known = name != NULL and 0 < strlen(name) < OWNER_NAME_BYTES
    if o.is_known:
        memcpy(o.name, name, strlen(name) + 1)


cdef void ask_id(owner *o) noexcept nogil:
    cdef char record[RECORD_BYTES]
    cdef passwd_t user
    cdef passwd_t *found_user = NULL
    cdef group_t group
    cdef group_t *found_group = NULL
    if o.is_group:
        o.is_known = getgrnam_r(o.name, &group, record, RECORD_BYTES, &found_group) == 0 and found_group != NULL
        o.id = group.gr_gid if o.is_known else 0
    else:
        o.is_known = getpwnam_r(o.name, &user, record, RECORD_BYTES, &found_user) == 0 and found_user != NULL
        o.id = user.pw_uid if o.is_known else 0


cdef size_t find_name(owner_cache *c, bint is_group, uint32_t id, char *name) noexcept nogil:
    cdef owner *o = &c.places[(id * 2 + is_group) % N_OWNERS]
    cdef size_t n = 0
    pthread_mutex_lock(&c.lock)
    if not o.is_used or o.is_group != is_group or o.id != id:
        o.is_used, o.is_group, o.id = True, is_group, id
        ask_name(o)
    if o.is_known:
        n = strlen(o.name)
        memcpy(name, o.name, n + 1)
    pthread_mutex_unlock(&c.lock)
    return n


cdef uint32_t find_id(owner_cache *c, bint is_group, const char *name, size_t n, uint32_t otherwise) noexcept nogil:
    cdef char text[OWNER_NAME_BYTES]
    cdef uint32_t hash = is_group
    cdef owner *o
    cdef size_t i
    for i in range(n):
        hash = hash * 31 + <uint8_t>name[i]
    memcpy(text, name, n)
    text[n] = 0
    o = &c.places[hash % N_OWNERS]
    pthread_mutex_lock(&c.lock)
    if not o.is_used or o.is_group != is_group or strcmp(o.name, text):
        o.is_used, o.is_group = True, is_group
        memcpy(o.name, text, n + 1)
        ask_id(o)
    if o.is_known:
        otherwise = o.id
    pthread_mutex_unlock(&c.lock)
    return otherwise
