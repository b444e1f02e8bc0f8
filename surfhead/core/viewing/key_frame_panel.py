"""stub"""


class KeyFramePanel:
    def __init__(self, visitor):
        pass

    def shown(self, request):
        pass
