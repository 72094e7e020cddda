"""The API that the existing web UI calls: every path, method, parameter and field, as data.

A field is written as its path: `[].` is an entry of the array that is answered, `tags[]` an array of strings,
`luaModuleFile[].id` a field of an entry. `*` marks what is required; `:number` a type that is not a string.

Reviewed exceptions to the published text, which has slips: `GET /servers/{id}` answers one object and not an
array; `GET /templates/tags` answers tags and not templates; whatever names principals is an array or one string,
also where one string is published.
"""

from typing import NamedTuple


class Route(NamedTuple):
    """What a route takes and answers."""

    query: str = ""
    body: str = ""
    answer: str = ""


REFERENCE = {
    "POST /auth/authorize": Route(answer="authorizationUrl"),
    "POST /auth/logout": Route(body="id_token*", answer="logoutUrl"),
    "POST /auth/refresh": Route(
        body="refresh_token*",
        answer="access_token* expires_at*:number expires_in*:number id_token* refresh_token scope* token_type*",
    ),
    "POST /auth/token": Route(
        body="code*",
        answer="access_token* expires_at*:number expires_in*:number id_token* refresh_token scope* token_type*",
    ),
    "GET /authenticated": Route(),
    "GET /datasets": Route(answer="[]._id [].description [].name* [].owner [].write_access:boolean"),
    "POST /datasets": Route(
        body="description name* owner write_access:boolean",
        answer="_id description name* owner write_access:boolean",
    ),
    "DELETE /datasets/{id}": Route(),
    "PATCH /datasets/{id}": Route(body="description name"),
    "GET /datasets/{id}/access": Route(query="type", answer="[].access [].entity"),
    "POST /datasets/{id}/revoke": Route(body="groupArray[] orgArray[] relation* userArray[]"),
    "POST /datasets/{id}/share": Route(body="groupArray[] orgArray[] relation* userArray[]"),
    "GET /groups": Route(answer="[]._id [].name*"),
    "POST /groups": Route(body="name*", answer="_id name*"),
    "DELETE /groups/{id}": Route(),
    "GET /groups/{id}": Route(answer="_id name*"),
    "PATCH /groups/{id}": Route(body="name*", answer="_id name*"),
    "GET /groups/{id}/members": Route(answer="[]"),
    "POST /groups/{id}/members": Route(query="memberEmail"),
    "DELETE /groups/{id}/members/{memberEmail}": Route(),
    "GET /healthcheck": Route(query="email"),
    "PUT /initialize": Route(query="email"),
    "GET /modules": Route(
        answer=(
            "[]._id [].description [].featured:boolean [].luaModuleFile[].arguments[] [].luaModuleFile[].id "
            "[].name* [].owner [].version* [].write_access:boolean"
        ),
    ),
    "POST /modules": Route(
        body=(
            "description featured:boolean luaModuleFile[].arguments[] luaModuleFile[].id name* version* "
            "write_access:boolean"
        ),
        answer=(
            "_id description featured:boolean luaModuleFile[].arguments[] luaModuleFile[].id name* owner "
            "version* write_access:boolean"
        ),
    ),
    "DELETE /modules/{id}": Route(),
    "PATCH /modules/{id}": Route(body="description luaModuleFile[].arguments[] luaModuleFile[].id name version"),
    "GET /modules/{id}/access": Route(query="type", answer="[].access [].entity"),
    "POST /modules/{id}/revoke": Route(body="groupArray[] orgArray[] relation* userArray[]"),
    "POST /modules/{id}/share": Route(body="groupArray[] orgArray[] relation* userArray[]"),
    "POST /secret/share/{id}": Route(body="groupArray[] orgArray[] relation* userArray[]"),
    "DELETE /secret/{id}": Route(),
    "GET /secret/{id}": Route(),
    "PATCH /secret/{id}": Route(body="description mount_path secretName"),
    "POST /secret/{id}/revoke": Route(body="groupArray[] orgArray[] relation* userArray[]"),
    "GET /secrets": Route(
        query="owner type name",
        answer="[]._id [].description [].engine* [].mount_path [].owner* [].secretName* [].secret_path* [].type*",
    ),
    "POST /secrets": Route(body="description mount_path secretName* type*"),
    "GET /servers": Route(query="owner type name", answer="[]._id [].owner* [].status* [].templateId*"),
    "POST /servers": Route(
        body=(
            "applicationType* datasets[] description* featuredImage filePath hardware* modules[] name* "
            "public*:boolean secrets[] tags[] type*"
        ),
        answer="_id owner* status* templateId*",
    ),
    "PUT /servers": Route(query="templateId", answer="_id owner* status* templateId*"),
    "DELETE /servers/{id}": Route(),
    "GET /servers/{id}": Route(answer="_id owner* status* templateId*"),
    "GET /servers/{id}/share": Route(),
    "PUT /servers/{id}/start": Route(),
    "PUT /servers/{id}/stop": Route(),
    "DELETE /template": Route(query="id"),
    "PATCH /template": Route(
        query="templateId",
        body=(
            "applicationType creator datasets[] description featuredImage filePath hardware modules[] name "
            "public:boolean secrets[] tags[]"
        ),
    ),
    "POST /template": Route(
        body=(
            "applicationType* datasets[] description* featuredImage filePath hardware* modules[] name* "
            "public*:boolean secrets[] tags[] type*"
        ),
        answer=(
            "_id applicationType* creator* datasets[] description* featuredImage filePath hardware* modules[] "
            "name* public*:boolean secrets[] serverName* tags[] timestamp type*"
        ),
    ),
    "GET /templates": Route(
        query="type email",
        answer=(
            "[]._id [].applicationType* [].creator* [].datasets[] [].description* [].featuredImage "
            "[].filePath [].hardware* [].modules[] [].name* [].public*:boolean [].secrets[] [].serverName* "
            "[].tags[] [].timestamp [].type*"
        ),
    ),
    "GET /templates/tags": Route(query="type email", answer="[]._id* [].name* [].count*:integer"),
    "GET /version": Route(),
    "POST /volume/file": Route(body="content name path root type", answer="content name path root type"),
    "GET /volume/files": Route(query="email root path", answer="[].name [].path [].root [].type"),
    "GET /volume/hardware": Route(answer="[]"),
    "GET /volume/lua": Route(answer="[]"),
    "GET /whoami": Route(),
}
