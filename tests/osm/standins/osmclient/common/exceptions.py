"""Stand-in: the errors."""


class ClientException(Exception):
    pass


class OsmHttpException(ClientException):
    pass


class NotFound(OsmHttpException):
    pass
